-- Recorded transaction ids can be asked for by the event that they sent (`unsigned.transaction_id`).

ALTER TABLE http_transactions ADD COLUMN transaction_id TEXT NOT NULL DEFAULT ''; -- the id as the client sent it
ALTER TABLE http_transactions ADD COLUMN event_id TEXT;                           -- the event of the recorded answer, if it names one
CREATE INDEX http_transactions_by_event ON http_transactions (owner, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX http_transactions_by_age ON http_transactions (created_at);
