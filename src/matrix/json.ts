/** JSON values as they come from outside: always `unknown` until a schema or a check has looked at them. */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue | undefined;
}
