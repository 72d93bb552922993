/** Reads what others send without taking more of it than one is ready to hold. Leaving a stream early destroys it. */

/** The first `limit` bytes of a stream; `cut`: there were more, which are not kept. */
export async function readUpTo(
  stream: AsyncIterable<Uint8Array>,
  limit: number,
): Promise<{ readonly bytes: Buffer; readonly cut: boolean }> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of stream) {
    pieces.push(piece);
    size += piece.length;
    if (size > limit) return { bytes: Buffer.concat(pieces).subarray(0, limit), cut: true };
  }
  return { bytes: Buffer.concat(pieces), cut: false };
}

/** The whole of a stream as text. @throws Error when it has more than `limit` bytes */
export async function textUpTo(stream: AsyncIterable<Uint8Array>, limit: number): Promise<string> {
  const { bytes, cut } = await readUpTo(stream, limit);
  if (cut) throw new Error('the answer is too long');
  return bytes.toString('utf8');
}
