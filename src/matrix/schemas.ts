/** Schemas of what every module reads from outside. */
import * as v from 'valibot';
import { isJsonObject, type JsonObject } from './json.ts';

/** Any JSON object, as it came. */
export const jsonObject = v.custom<JsonObject>(isJsonObject, 'expected an object');
