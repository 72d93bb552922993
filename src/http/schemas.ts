/** Schemas that rows share: query parameters, which come as text, and members of JSON bodies. */
import * as v from 'valibot';

export { jsonObject } from '../matrix/schemas.ts';

/** A whole number from 0 on. */
export const wholeNumber = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'expected a whole number'), v.transform(Number));

/** A whole number from 1 on. */
export const positiveNumber = v.pipe(wholeNumber, v.minValue(1, 'expected a whole number above 0'));

export const direction = v.picklist(['b', 'f'], 'expected b or f');

export const flag = v.pipe(
  v.picklist(['true', 'false'], 'expected true or false'),
  v.transform((text) => text === 'true'),
);

/** A member that clients leave out or send as null. */
export const maybe = <S extends v.GenericSchema>(schema: S) =>
  v.pipe(
    v.nullish(schema),
    v.transform((value: v.InferOutput<S> | null | undefined): v.InferOutput<S> | undefined => value ?? undefined),
  );
