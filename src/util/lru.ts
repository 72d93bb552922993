/** Bounded caches of entries of like size: the least recently used one goes first. */
import { LRUCache } from 'lru-cache';

/**
 * A cache of at most `max` entries. Told `max` itself, the library sets the room for all of them aside at once, which for
 * the caches of an idle server is megabytes; bounded by size, each entry counting one, it grows with what it holds.
 */
export class LruCache<K extends {}, V extends {}> extends LRUCache<K, V> {
  constructor({
    max,
    ...options
  }: { readonly max: number } & Omit<LRUCache.OptionsBase<K, V, unknown>, 'max' | 'maxSize' | 'sizeCalculation'>) {
    super({ ...options, maxSize: max, sizeCalculation: () => 1 });
  }
}
