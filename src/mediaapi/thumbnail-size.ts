/**
 * Which thumbnail answers a request (C-S API v1.19 §Thumbnails). Pure, and shared with the process that makes them.
 * A thumbnail is never larger than the image, and never smaller than what was asked for unless the image is.
 */
import type { ThumbnailMethod } from './storage.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What an image is, upright. */
export interface ImageInfo extends Size {
  /** 1 for still images. */
  readonly frames: number;
}

/** A box to be filled: `scale` keeps the whole image and may overlap the box on one side, `crop` cuts that off. */
export interface Box extends Size {
  readonly method: ThumbnailMethod;
  readonly animated: boolean;
}

export type Choice = { readonly kind: 'original' } | { readonly kind: 'thumbnail'; readonly box: Box };

/** "Servers SHOULD produce thumbnails with the following dimensions and methods" */
export const usualSizes: readonly (Size & { readonly method: ThumbnailMethod })[] = [
  { width: 32, height: 32, method: 'crop' },
  { width: 96, height: 96, method: 'crop' },
  { width: 320, height: 240, method: 'scale' },
  { width: 640, height: 480, method: 'scale' },
  { width: 800, height: 600, method: 'scale' },
];

/** The pixels that a thumbnail for `box` has. */
export function outputSize(image: Size, box: Size & { readonly method: ThumbnailMethod }): Size {
  if (box.method === 'crop') {
    const factor = Math.min(1, image.width / box.width, image.height / box.height);
    return { width: atLeastOne(box.width * factor), height: atLeastOne(box.height * factor) };
  }
  const factor = Math.min(1, Math.max(box.width / image.width, box.height / image.height));
  return { width: atLeastOne(image.width * factor), height: atLeastOne(image.height * factor) };
}

const atLeastOne = (length: number): number => Math.max(1, Math.round(length));

export const sameSize = (a: Size, b: Size): boolean => a.width === b.width && a.height === b.height;

export interface ChoiceOptions {
  /** Any size may be made, not only the usual ones. */
  readonly dynamic: boolean;
  /** The original is of a type that thumbnails may have. */
  readonly servable: boolean;
}

/** What to answer a request for `wanted` with. */
export function chooseThumbnail(image: ImageInfo, wanted: Box, { dynamic, servable }: ChoiceOptions): Choice {
  const animated = wanted.animated && image.frames > 1;
  const whole: Box = { width: image.width, height: image.height, method: 'scale', animated };
  // An animation is only for who asked for one; its first frame is a thumbnail of its own.
  const original: Choice =
    servable && animated === image.frames > 1 ? { kind: 'original' } : { kind: 'thumbnail', box: whole };
  // "When the content is smaller than the requested dimensions, servers should return the original content"
  if (image.width <= wanted.width && image.height <= wanted.height) return original;
  const needed =
    wanted.method === 'crop'
      ? outputSize(image, wanted)
      : { width: Math.min(wanted.width, image.width), height: Math.min(wanted.height, image.height) };
  const box = dynamic ? { ...needed, method: wanted.method } : usualBox(image, wanted.method, needed);
  if (box === undefined || (box.method === 'scale' && sameSize(outputSize(image, box), image))) return original;
  return { kind: 'thumbnail', box: { ...box, animated } };
}

/** The smallest usual size that covers what is needed; a whole image when no cut one is large enough. */
function usualBox(
  image: Size,
  method: ThumbnailMethod,
  needed: Size,
): (Size & { readonly method: ThumbnailMethod }) | undefined {
  const covers = (box: (typeof usualSizes)[number]): boolean => {
    const output = outputSize(image, box);
    return output.width >= needed.width && output.height >= needed.height;
  };
  const found = usualSizes.find((box) => box.method === method && covers(box));
  return found ?? (method === 'crop' ? usualBox(image, 'scale', needed) : undefined);
}
