/** Media and link previews. */
import { duration, flag, integer, list, optional, section, size, text } from '../field.ts';
import { isAddressRange } from './checks.ts';

export const media = section('Files that users upload, and copies of files of other servers.', {
  max_upload_size: size({ doc: 'The largest file that a user may upload.', default: '50 MiB', min: 1024 }),
  max_remote_size: size({
    doc: 'The largest file that is fetched from another server.',
    default: '100 MiB',
    min: 1024,
  }),
  user_quota_size: size({ doc: 'What one user may upload in all; 0 for no limit.', default: '10 GiB' }),
  user_quota_files: integer({ doc: 'How many files one user may upload; 0 for no limit.', default: 100_000, min: 0 }),
  max_pending: integer({
    doc: 'How many media ids one user may hold that have no content yet.',
    default: 20,
    min: 1,
  }),
  pending_expiry: duration({ doc: 'How long such an id waits for its content.', default: '24h' }),
  freeze_unauthenticated: flag({
    doc:
      'Files are only given to who is logged in. false also serves them, and keeps serving those that came meanwhile, ' +
      'to anyone by the old paths, which some bridges and old clients need.',
    default: true,
  }),
  dynamic_thumbnails: flag({
    doc:
      'Make thumbnails in every size that clients ask for. Otherwise the next larger of the usual five sizes is given, ' +
      'or the original.',
    default: false,
  }),
  max_image_pixels: integer({
    doc: 'Images with more pixels get no thumbnails; animations with more, all frames together, only still ones.',
    default: 50_000_000,
    min: 10_000,
    max: 1_000_000_000,
  }),
  retention: section('When files are deleted. Without any of these keys only copies of remote files are.', {
    local: optional(duration({ doc: "Users' own uploads that nobody asked for in this time.", example: '365d' })),
    remote: duration({
      doc: 'Copies of files of other servers that nobody asked for in this time; they can be fetched again.',
      default: '90d',
    }),
    budget: optional(
      size({
        doc:
          'What all files may take on disk. Above it, copies and preview images go first, those that were not asked ' +
          'for the longest, then uploads in the same order.',
        example: '50 GiB',
      }),
    ),
  }),
});

export const previews = section(
  'Previews of the links in messages. The server fetches the pages that its users name.',
  {
    enabled: flag({
      doc: 'Off by default: pages learn the address of this server, and a user chooses what it asks for.',
      default: false,
    }),
    allow_networks: list(
      text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
      {
        doc: 'Private addresses that may be fetched from in spite of being private. All others are refused.',
        default: [],
      },
    ),
    timeout: duration({ doc: 'How long one page may take, with its redirects and its image.', default: '15s' }),
    max_page_size: size({ doc: 'How much of a page is read.', default: '1 MiB', min: 1024 }),
    max_image_size: size({ doc: 'The largest image that is taken into a preview.', default: '10 MiB', min: 1024 }),
    cache: duration({ doc: 'How long a preview is shown before the page is fetched again.', default: '1d' }),
    language: text({ doc: 'The language that pages are asked for (Accept-Language).', default: 'en' }),
  },
);
