/** What was thrown, in words for logs and people; it need not be an `Error`. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
