-- Each request with a transaction id wrote two more pages for these indexes: which event a device sent under which id stands
-- in room_transactions, and old records are found by walking through the table now and then.
DROP INDEX http_transactions_by_event;
DROP INDEX http_transactions_by_age;
ALTER TABLE http_transactions DROP COLUMN transaction_id;
ALTER TABLE http_transactions DROP COLUMN event_id;
