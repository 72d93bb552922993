-- Media: what is known of each mxc URI, the files behind them (once per content), thumbnails, previews of links.

CREATE TABLE media_blobs (
  hash TEXT PRIMARY KEY,                 -- SHA-256 of the bytes in hex; the file's name on disk
  size INTEGER NOT NULL,                 -- bytes
  format TEXT,                           -- png, jpeg, gif, webp or avif by its first bytes; null: no thumbnails
  width INTEGER,                         -- pixels, upright; null: not looked at yet
  height INTEGER,                        -- pixels, upright; null: not looked at yet
  frames INTEGER,                        -- 1 for still images; null: not looked at yet
  quarantined INTEGER NOT NULL,          -- 1: nothing with this content is served
  created_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE TABLE media_items (
  origin TEXT NOT NULL,                  -- server name of the mxc URI; ours or another's (a copy)
  media_id TEXT NOT NULL,                -- media id of the mxc URI
  kind TEXT NOT NULL,                    -- upload, remote (a copy), preview (the image of a link)
  hash TEXT REFERENCES media_blobs (hash), -- its content; null: none yet
  content_type TEXT NOT NULL,            -- as the uploader or the origin said
  filename TEXT,                         -- as the uploader or the origin said
  uploader TEXT,                         -- local user; null: a copy or preview
  created_at INTEGER NOT NULL,           -- ms; when the id was made
  stored_at INTEGER,                     -- ms; when the content came; null: not yet
  expires_at INTEGER,                    -- ms; until when the content must come; null: it has come
  accessed_at INTEGER NOT NULL,          -- ms; last download, to the hour
  authenticated INTEGER NOT NULL,        -- 1: came while the unauthenticated paths were frozen
  quarantined_by TEXT,                   -- who forbade it; null: nobody
  protected INTEGER NOT NULL,            -- 1: neither quarantine nor retention touch it
  PRIMARY KEY (origin, media_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX media_items_by_uploader ON media_items (uploader, created_at) WHERE uploader IS NOT NULL;
CREATE INDEX media_items_by_hash ON media_items (hash) WHERE hash IS NOT NULL;
CREATE INDEX media_items_by_access ON media_items (kind, accessed_at) WHERE hash IS NOT NULL;
CREATE INDEX media_items_pending ON media_items (uploader, expires_at) WHERE hash IS NULL;

CREATE TABLE media_thumbnails (
  hash TEXT NOT NULL REFERENCES media_blobs (hash), -- the original's content
  width INTEGER NOT NULL,                -- pixels of the box that was asked for
  height INTEGER NOT NULL,               -- pixels of the box that was asked for
  method TEXT NOT NULL,                  -- crop or scale
  animated INTEGER NOT NULL,             -- 1: with all frames
  content_type TEXT NOT NULL,            -- what was made
  size INTEGER NOT NULL,                 -- bytes
  PRIMARY KEY (hash, width, height, method, animated)
) STRICT, WITHOUT ROWID;

CREATE TABLE media_usage (
  owner TEXT PRIMARY KEY,                -- a local user; empty: all files on disk, thumbnails too
  files INTEGER NOT NULL,                -- how many
  bytes INTEGER NOT NULL                 -- how large together
) STRICT, WITHOUT ROWID;

CREATE TABLE media_previews (
  url TEXT PRIMARY KEY,                  -- as asked for, without fragment
  body TEXT,                             -- JSON: the OpenGraph answer; null: the page could not be fetched
  fetched_at INTEGER NOT NULL,           -- ms
  expires_at INTEGER NOT NULL            -- ms; then it is fetched again
) STRICT, WITHOUT ROWID;
CREATE INDEX media_previews_by_expiry ON media_previews (expires_at);
