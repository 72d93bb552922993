/** Push rules (C-S API v1.19 §Push Rules API). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseUserId } from '../../matrix/ids.ts';
import type { JsonValue } from '../../matrix/json.ts';
import { ruleKinds, type PushRule, type RuleKind } from '../../matrix/push-rules.ts';
import type { Push } from '../../push/index.ts';
import type { Database } from '../../storage/index.ts';

export interface PushRuleRouteParts {
  readonly db: Database;
  readonly push: Push;
}

const base = '/_matrix/client/v3/pushrules';
const params = v.object({ kind: v.picklist(ruleKinds), ruleId: v.string() });
const actions = v.array(v.union([v.string(), v.looseObject({ set_tweak: v.string() })]));
const conditions = v.array(v.looseObject({ kind: v.string() }));
const ruleBody = v.object({ actions, conditions: v.optional(conditions), pattern: v.optional(v.string()) });
const enabledBody = v.object({ enabled: v.boolean() });
const actionsBody = v.object({ actions });
const placement = v.object({ before: v.optional(v.string()), after: v.optional(v.string()) });

export const pushRuleRoutes = (parts: PushRuleRouteParts): Route[] => [
  ...rulesetRows(parts),
  ...ruleRows(parts),
  ...ruleChangeRows(parts),
  ...strayRows(),
];

function rulesetRows({ db, push: { rules } }: PushRuleRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${base}/`,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, shown }) => {
        shown.key(`user:${requester.userId}`);
        return { global: db.read((snapshot) => rules.ruleset(snapshot, requester.userId)) };
      },
    }),
    route({
      method: 'GET',
      path: `${base}/global/`,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, shown }) => {
        shown.key(`user:${requester.userId}`);
        return db.read((snapshot) => rules.ruleset(snapshot, requester.userId));
      },
    }),
    route({
      method: 'GET',
      path: `${base}/global/:kind/`,
      auth: 'user',
      rate: 'none',
      params: v.object({ kind: v.picklist(ruleKinds) }),
      handle: ({ requester, params: { kind }, shown }) => {
        shown.key(`user:${requester.userId}`);
        return db.read((snapshot) => rules.ruleset(snapshot, requester.userId))[kind];
      },
    }),
  ];
}

/** A rule, and its two attributes that have a path of their own. */
const ruleRows = ({ db, push: { rules } }: PushRuleRouteParts): Route[] =>
  ['', '/enabled', '/actions'].map((part) =>
    route({
      method: 'GET',
      path: `${base}/global/:kind/:ruleId${part}` as `${typeof base}/global/:kind/:ruleId`,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params: { kind: asked, ruleId }, shown }) => {
        const kind = ruleKinds.find((known) => known === asked);
        if (kind === undefined) throw matrixError.notFound('There is no such kind of push rule');
        shown.key(`user:${requester.userId}`);
        const rule = db.read((snapshot) => rules.rule(snapshot, requester.userId, kind, ruleId));
        if (part === '/enabled') return { enabled: rule.enabled };
        return part === '/actions' ? { actions: rule.actions } : rule;
      },
    }),
  );

function ruleChangeRows({ db, push: { rules } }: PushRuleRouteParts): Route[] {
  return [
    route({
      method: 'PUT',
      path: `${base}/global/:kind/:ruleId`,
      auth: 'user',
      rate: 'write',
      params,
      query: placement,
      body: ruleBody,
      handle: async ({ requester, params: { kind, ruleId }, query, body }) => {
        const rule = ownRule(kind, ruleId, body);
        await db.write((tx) => rules.put(tx, requester.userId, kind, rule, query));
        return {};
      },
    }),
    route({
      method: 'DELETE',
      path: `${base}/global/:kind/:ruleId`,
      auth: 'user',
      rate: 'none',
      params,
      handle: async ({ requester, params: { kind, ruleId } }) => {
        await db.write((tx) => rules.delete(tx, requester.userId, kind, ruleId));
        return {};
      },
    }),
    route({
      method: 'PUT',
      path: `${base}/global/:kind/:ruleId/enabled`,
      auth: 'user',
      rate: 'none',
      params,
      body: enabledBody,
      handle: async ({ requester, params: { kind, ruleId }, body }) => {
        await db.write((tx) => rules.change(tx, requester.userId, kind, ruleId, { enabled: body.enabled }));
        return {};
      },
    }),
    route({
      method: 'PUT',
      path: `${base}/global/:kind/:ruleId/actions`,
      auth: 'user',
      rate: 'none',
      params,
      body: actionsBody,
      handle: async ({ requester, params: { kind, ruleId }, body }) => {
        const changed = { actions: checkedActions(body.actions) };
        await db.write((tx) => rules.change(tx, requester.userId, kind, ruleId, changed));
        return {};
      },
    }),
  ];
}

/** Paths below the push rules that name no rule, of this or any scope: a fault in the path's parts, not in the path. */
const strayRows = (): Route[] =>
  (['GET', 'PUT'] as const).flatMap((method) =>
    ['/:scope', '/:scope/:kind', '/:scope/:kind/:ruleId', '/:scope/:kind/:ruleId/:attribute'].map((path) =>
      route({
        method,
        path: `${base}${path}`,
        auth: 'user',
        rate: 'none',
        handle: () => {
          throw matrixError.invalidParam('This is no push rule: its path is global/{kind}/{ruleId}');
        },
      }),
    ),
  );

/** A rule as the user wrote it, checked against what its kind needs. New rules are enabled. */
function ownRule(kind: RuleKind, ruleId: string, body: v.InferOutput<typeof ruleBody>): PushRule {
  if (ruleId.startsWith('.')) throw matrixError.invalidParam('Rule ids that start with a dot are reserved');
  if (/[/\\]/.test(ruleId)) throw matrixError.invalidParam('Rule ids may not hold slashes or backslashes');
  // Older clients name rooms by alias too; such a rule never matches.
  if (kind === 'room' && !/^[!#]/.test(ruleId)) throw matrixError.invalidParam('The rule id is no room id');
  if (kind === 'sender' && parseUserId(ruleId) === undefined) {
    throw matrixError.invalidParam('The rule id is no user id');
  }
  const rule: PushRule = { rule_id: ruleId, default: false, enabled: true, actions: checkedActions(body.actions) };
  if (kind === 'content') {
    if (body.pattern === undefined) throw matrixError.missingParam('Content rules need a pattern');
    return { ...rule, pattern: body.pattern };
  }
  if (kind === 'room' || kind === 'sender') return rule;
  return { ...rule, conditions: (body.conditions ?? []) as JsonValue[] };
}

function checkedActions(list: v.InferOutput<typeof actions>): JsonValue[] {
  for (const action of list) {
    if (typeof action === 'string' && !['notify', 'dont_notify', 'coalesce'].includes(action)) {
      throw matrixError.invalidParam(`Unknown action: ${action}`);
    }
  }
  return list as JsonValue[];
}
