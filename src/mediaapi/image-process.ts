/**
 * The process that decodes images. It is one of its own so that a picture made to crash, fill or stall a decoder takes
 * nothing else with it, and so that the library's memory is given back when there is nothing to do. It ends with its
 * parent.
 */
import { stat } from 'node:fs/promises';
import sharp, { type Metadata, type Sharp } from 'sharp';
import type { ImageFormat } from './content-type.ts';
import { putOnDisk } from './put-on-disk.ts';
import { outputSize, type Box, type ImageInfo } from './thumbnail-size.ts';

export interface ImageOutput {
  /** Where the thumbnail is to be written. */
  readonly path: string;
  readonly box: Box;
}

export interface ImageJob {
  readonly id: number;
  /** The image's file. */
  readonly input: string;
  /** Width × height; for animations × frames. */
  readonly maxPixels: number;
  readonly outputs: readonly ImageOutput[];
}

export interface MadeImage {
  readonly contentType: string;
  readonly size: number;
}

export type ImageResult =
  | { readonly ok: true; readonly info: ImageInfo; readonly made: readonly MadeImage[] }
  | { readonly ok: false; readonly reason: 'broken' | 'too-large' };

/** What an image of each format becomes; animations always become WebP. */
const stillFormats: Record<ImageFormat, 'png' | 'jpeg' | 'webp'> = {
  png: 'png',
  jpeg: 'jpeg',
  gif: 'png',
  webp: 'webp',
  avif: 'webp',
};
const loaders = ['VipsForeignLoadPng', 'VipsForeignLoadJpeg', 'VipsForeignLoadNsgif', 'VipsForeignLoadWebp'];

// Everything else that the library reads (SVG, PDF, TIFF …) is more than anyone needs here.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({ operation: [...loaders, 'VipsForeignLoadHeif'] });
sharp.concurrency(1);
sharp.cache(false);

async function work(job: ImageJob): Promise<ImageResult> {
  const metadata = await sharp(job.input, { limitInputPixels: false }).metadata();
  const info = infoOf(metadata);
  if (info.width * info.height > job.maxPixels) return { ok: false, reason: 'too-large' };
  const made: MadeImage[] = [];
  for (const output of job.outputs) made.push(await make(job, output, metadata, info));
  return { ok: true, info, made };
}

function infoOf({ format, pages, pageHeight, width, height, orientation }: Metadata): ImageInfo {
  const animates = format === 'gif' || format === 'webp';
  const tall = pageHeight ?? height;
  const turned = (orientation ?? 1) >= 5;
  return {
    width: turned ? tall : width,
    height: turned ? width : tall,
    frames: animates ? (pages ?? 1) : 1,
  };
}

async function make(
  job: ImageJob,
  { path, box }: ImageOutput,
  metadata: Metadata,
  info: ImageInfo,
): Promise<MadeImage> {
  const animated = box.animated && info.width * info.height * info.frames <= job.maxPixels;
  const { width, height } = outputSize(info, box);
  const image = sharp(job.input, { limitInputPixels: job.maxPixels, sequentialRead: true, animated, failOn: 'error' })
    .autoOrient()
    .resize(width, height, { fit: box.method === 'crop' ? 'cover' : 'fill' });
  const format = animated ? 'webp' : stillFormats[formatOf(metadata)];
  await encode(image, format).toFile(path);
  await putOnDisk(path, 'r+');
  return { contentType: `image/${format}`, size: (await stat(path)).size };
}

function encode(image: Sharp, format: 'png' | 'jpeg' | 'webp'): Sharp {
  switch (format) {
    case 'png':
      return image.png({ compressionLevel: 7 });
    case 'jpeg':
      return image.jpeg({ quality: 80 });
    case 'webp':
      return image.webp({ quality: 80, effort: 2 });
  }
}

const formatOf = ({ format }: Metadata): ImageFormat =>
  format === 'png' || format === 'jpeg' || format === 'gif' || format === 'webp' ? format : 'avif';

process.on('message', (job: ImageJob) => {
  void work(job)
    .catch((): ImageResult => ({ ok: false, reason: 'broken' }))
    .then((result) => process.send?.({ id: job.id, result }));
});
process.on('disconnect', () => process.exit(0));
