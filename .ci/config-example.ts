// Writes config.example.yaml from the schema: `npm run config:example`.
import { writeFileSync } from 'node:fs';
import { renderExampleYaml } from '../src/config/index.ts';

writeFileSync(new URL('../config.example.yaml', import.meta.url), renderExampleYaml());
