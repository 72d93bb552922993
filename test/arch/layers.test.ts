import { expect, test } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { apart, layers, openLayers, reserved } from './layers.ts';

test('every module has its place in the order, apart from what stands above all modules', () => {
  const folders = readdirSync(resolve(import.meta.dirname, '../../src'), { withFileTypes: true });
  const modules = folders.filter((entry) => entry.isDirectory() && entry.name !== 'commands').map(({ name }) => name);
  expect(modules.filter((name) => !layers.includes(name))).toEqual([]);
  expect(new Set(layers).size).toBe(layers.length);
});

test('special rules name modules of the order', () => {
  const named = [...openLayers, ...Object.entries(apart).flat(2)];
  expect(named.filter((name) => !layers.includes(name))).toEqual([]);
  const places = Object.values(reserved).flat();
  expect(places.filter((place) => !layers.includes(place.split('/')[1] ?? ''))).toEqual([]);
});
