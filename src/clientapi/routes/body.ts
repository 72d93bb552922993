/** Bodies that are looked at more than once: those of endpoints with User-Interactive Authentication, and free JSON. */
import type * as v from 'valibot';
import { validate } from '../../http/index.ts';
import type { JsonObject } from '../../matrix/json.ts';

export { jsonObject, maybe } from '../../http/index.ts';

/** Reads a JSON object by a schema. @throws M_MISSING_PARAM, M_BAD_JSON */
export const readBody = <S extends v.GenericSchema>(schema: S, body: JsonObject): v.InferOutput<S> =>
  validate(schema, body, 'body') as v.InferOutput<S>;
