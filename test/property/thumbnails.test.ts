import { describe, test } from '@jest/globals';
import fc from 'fast-check';
import { chooseThumbnail, outputSize, type Box } from '../../src/mediaapi/thumbnail-size.ts';

const side = fc.integer({ min: 1, max: 6000 });
const image = fc.record({ width: side, height: side, frames: fc.constantFrom(1, 1, 7) });
const wanted: fc.Arbitrary<Box> = fc.record({
  width: side,
  height: side,
  method: fc.constantFrom('crop' as const, 'scale' as const),
  animated: fc.boolean(),
});
const options = fc.record({ dynamic: fc.boolean(), servable: fc.boolean() });

describe('a chosen thumbnail', () => {
  test('is never larger than the image, and never smaller than asked for unless the image is', () => {
    fc.assert(
      fc.property(image, wanted, options, (picture, box, how) => {
        const choice = chooseThumbnail(picture, box, how);
        const size = choice.kind === 'original' ? picture : outputSize(picture, choice.box);
        if (size.width > picture.width || size.height > picture.height) return false;
        const least =
          box.method === 'crop'
            ? outputSize(picture, box)
            : { width: Math.min(box.width, picture.width), height: Math.min(box.height, picture.height) };
        return size.width >= least.width && size.height >= least.height;
      }),
    );
  });

  test('moves only when that was asked for', () => {
    fc.assert(
      fc.property(image, wanted, options, (picture, box, how) => {
        const choice = chooseThumbnail(picture, box, how);
        const moves = choice.kind === 'original' ? picture.frames > 1 : choice.box.animated;
        return moves === (box.animated && picture.frames > 1);
      }),
    );
  });

  test('has exactly the aspect asked for when it is cut to size in any size', () => {
    fc.assert(
      fc.property(image, wanted, (picture, box) => {
        const { width, height } = outputSize(picture, { ...box, method: 'crop' });
        return Math.abs(width * box.height - height * box.width) <= Math.max(box.width, box.height);
      }),
    );
  });
});
