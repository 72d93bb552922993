import { describe, expect, test } from '@jest/globals';
import { decodePage } from '../../../src/mediaapi/previews/charset.ts';
import { fetchableUrl } from '../../../src/mediaapi/previews/fetch.ts';
import { addOembed, readPage } from '../../../src/mediaapi/previews/open-graph.ts';

describe('the characters of a page', () => {
  const word = 'Straße';
  const latin = Buffer.from(word, 'latin1');
  test.each([
    ['the header', latin, 'text/html; charset=ISO-8859-1', word],
    ['a quoted header', latin, 'text/html; charset="iso-8859-1"', word],
    [
      'a meta element',
      Buffer.concat([Buffer.from('<meta charset=latin1>'), latin]),
      'text/html',
      `<meta charset=latin1>${word}`,
    ],
    [
      'an http-equiv element',
      Buffer.concat([Buffer.from('<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">'), latin]),
      'text/html',
      `<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">${word}`,
    ],
    [
      'an XML declaration',
      Buffer.concat([Buffer.from('<?xml version="1.0" encoding="iso-8859-1"?>'), latin]),
      '',
      `<?xml version="1.0" encoding="iso-8859-1"?>${word}`,
    ],
    ['a byte order mark against the header', Buffer.from(`\ufeff${word}`), 'text/html; charset=latin1', word],
    ['UTF-16 with its mark', Buffer.from(`\ufeff${word}`, 'utf16le'), 'text/html', word],
    ['nothing, for UTF-8', Buffer.from(word), 'text/html', word],
    ['nothing, for anything else', latin, 'text/html', word],
    ['an unknown name', Buffer.from(word), 'text/html; charset=klingon', word],
    ['a meta element that lies', Buffer.from(`<meta charset="utf-16">${word}`), '', `<meta charset="utf-16">${word}`],
    ['Shift JIS', Buffer.from([0x93, 0xfa, 0x96, 0x7b]), 'text/html; charset=Shift_JIS', '日本'],
    ['KOI8-R', Buffer.from([0xed, 0xc9, 0xd2]), 'text/html; charset=koi8-r', 'Мир'],
    ['UTF-8 that was cut in the middle of a character', Buffer.from('né').subarray(0, 2), '', 'n\ufffd'],
  ])('follow from %s', (_, bytes, type, text) => {
    expect(decodePage(bytes, type)).toBe(text);
  });
});

describe('what a page says of itself', () => {
  const properties = (html: string) => Object.fromEntries(readPage(html).properties);

  test('is its OpenGraph data', () => {
    const html = `<html><head><title>The Rock (1996)</title>
      <meta property="og:title" content="The Rock &amp; more" /><meta property="og:type" content="video.movie">
      <meta property="og:image" content="a.png"><meta property="og:image" content="b.png"></head>`;
    expect(properties(html)).toEqual({ 'og:title': 'The Rock & more', 'og:type': 'video.movie', 'og:image': 'a.png' });
  });

  test('else its Twitter card, title, description and first paragraph', () => {
    expect(
      properties(
        '<title> A\n title </title><meta name="description" content="words"><meta name="twitter:image" content="i">',
      ),
    ).toEqual({ 'og:title': 'A title', 'og:description': 'words', 'og:image': 'i' });
    const long = 'A paragraph that is long enough to say something.';
    const page = `<nav><p>${'menu '.repeat(20)}</p></nav><p>short</p><p>${long}<script>evil()</script></p><p>${'next '.repeat(20)}</p>`;
    expect(properties(page)).toEqual({ 'og:description': long });
  });

  test('is bounded, and broken markup is read as far as it goes', () => {
    const many = Array.from({ length: 500 }, (_, n) => `<meta property="og:x${n}" content="${'y'.repeat(5000)}">`).join(
      '',
    );
    const found = Object.entries(properties(many));
    expect(found.length).toBe(50);
    expect(found.every(([, value]) => value.length <= 1000)).toBe(true);
    expect(properties('<meta property="og:title" content="t"><div <p <<>')).toEqual({ 'og:title': 't' });
    expect(properties('<meta property="__proto__" content="t"><title>x')).toEqual({ 'og:title': 'x' });
    expect(properties('')).toEqual({});
  });

  test('is filled from its oEmbed description', () => {
    const page = readPage('<link rel="alternate" type="application/json+oembed" href="/o"><base href="https://b/">');
    expect([page.oembed, page.base]).toEqual(['/o', 'https://b/']);
    addOembed(page.properties, {
      type: 'rich',
      title: 'T',
      provider_name: 'P',
      thumbnail_url: 'https://t/',
      html: '<blockquote>words<script>evil()</script> here</blockquote>',
    });
    expect(Object.fromEntries(page.properties)).toEqual({
      'og:title': 'T',
      'og:site_name': 'P',
      'og:image': 'https://t/',
      'og:description': 'words here',
    });
    addOembed(page.properties, ['no object']);
  });
});

describe('a URL to be fetched', () => {
  test.each([
    'ftp://a/',
    'file:///etc/passwd',
    'javascript:1',
    'data:text/html,x',
    'http://u:p@a/',
    'http://a:25/',
    'a',
    '',
  ])('is not %j', (text) => {
    expect(fetchableUrl(text)).toBeUndefined();
  });

  test.each([
    ['http://a/b#c', 'http://a/b'],
    ['https://a:8443/?q', 'https://a:8443/?q'],
    ['HTTP://A:80', 'http://a/'],
  ])('may be %s', (text, url) => {
    expect(fetchableUrl(text)?.href).toBe(url);
  });
});
