/** `GET /health`: answers 200 while the server serves and its database can be read. */
import { sql, type Database } from '../storage/index.ts';
import { route, type Route } from './route.ts';

const selectOne = sql<[], { one: number }>('SELECT 1 AS one');

export const healthRoute = (db: Database): Route =>
  route({
    method: 'GET',
    path: '/health',
    resources: ['client', 'federation', 'admin', 'metrics'],
    auth: 'none',
    rate: 'none',
    handle: () => {
      db.read((snapshot) => snapshot.get(selectOne));
      return { status: 'ok' };
    },
  });
