/** Bodies that are looked at more than once: those of endpoints with User-Interactive Authentication, and free JSON. */
import * as v from 'valibot';
import { validate } from '../../http/index.ts';
import { isJsonObject, type JsonObject } from '../../matrix/json.ts';

/** Any JSON object, as it came. */
export const jsonObject = v.custom<JsonObject>(isJsonObject, 'expected an object');

/** Reads a JSON object by a schema. @throws M_MISSING_PARAM, M_BAD_JSON */
export const readBody = <S extends v.GenericSchema>(schema: S, body: JsonObject): v.InferOutput<S> =>
  validate(schema, body, 'body') as v.InferOutput<S>;

/** A member that clients leave out or send as null. */
export const maybe = <S extends v.GenericSchema>(schema: S) =>
  v.pipe(
    v.nullish(schema),
    v.transform((value: v.InferOutput<S> | null | undefined): v.InferOutput<S> | undefined => value ?? undefined),
  );
