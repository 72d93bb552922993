/** What two people do in the web client, step by step; each step leaves a picture. */
import { join } from 'node:path';
import { registerAccount } from '../support/client.ts';
import { picture } from '../support/media.ts';

/** The part of Playwright that is used here. */
export interface Locator {
  click(options?: { readonly button?: 'right'; readonly timeout?: number; readonly force?: boolean }): Promise<void>;
  fill(text: string): Promise<void>;
  hover(): Promise<void>;
  waitFor(options?: { readonly state?: 'visible' | 'hidden'; readonly timeout?: number }): Promise<void>;
  scrollIntoViewIfNeeded(): Promise<void>;
  first(): Locator;
  last(): Locator;
  locator(selector: string): Locator;
  getByText(text: string | RegExp, options?: { readonly exact?: boolean }): Locator;
}
export interface Page {
  goto(url: string): Promise<unknown>;
  url(): string;
  locator(selector: string): Locator;
  getByText(text: string | RegExp, options?: { readonly exact?: boolean }): Locator;
  getByRole(role: string, options?: { readonly name?: string | RegExp; readonly exact?: boolean }): Locator;
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> };
  screenshot(options: { readonly path: string }): Promise<unknown>;
  setDefaultTimeout(ms: number): void;
  waitForEvent(event: 'filechooser'): Promise<{ setFiles(file: object): Promise<void> }>;
}
export interface Browser {
  newContext(options: object): Promise<{ newPage(): Promise<Page> }>;
  close(): Promise<void>;
}

export interface Stage {
  readonly browser: Browser;
  /** Where the web client is served. */
  readonly client: string;
  readonly homeserver: string;
  /** Folder for pictures. */
  readonly pictures: string;
}

const password = 'a password for tests';
const v3 = '/_matrix/client/v3';

class Play {
  readonly #stage: Stage;
  #count = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Does a step and leaves a picture of what came of it, or of where it stopped. */
  async step(title: string, page: Page, work: () => Promise<unknown>): Promise<void> {
    this.#count += 1;
    const name = `${String(this.#count).padStart(2, '0')}-${title.replaceAll(/\W+/g, '-')}`;
    try {
      await work();
      process.stdout.write(`ok ${this.#count} ${title}\n`);
    } catch (error) {
      process.stdout.write(`not ok ${this.#count} ${title}\n`);
      throw error;
    } finally {
      await page.screenshot({ path: join(this.#stage.pictures, `${name}.png`) });
    }
  }

  /** A browser profile of its own, logged in. */
  async logIn(user: string): Promise<Page> {
    const { browser, client, homeserver } = this.#stage;
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    await this.step(`${user} logs in`, page, async () => {
      await page.goto(`${client}/login/${encodeURIComponent(homeserver)}`);
      await page.locator('input[name=usernameInput]').fill(user);
      await page.locator('input[name=passwordInput]').fill(password);
      await page.keyboard.press('Enter');
      await page.getByText('Welcome to Cinny').waitFor();
    });
    return page;
  }
}

async function createRoom(page: Page, client: string, name: string, set?: () => Promise<void>): Promise<void> {
  await page.goto(`${client}/home/`);
  await page.getByText('Create Room', { exact: true }).first().click();
  await page.locator('input[name=name]').waitFor();
  await set?.();
  await page.locator('input[name=name]').fill(name);
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.locator('[data-slate-editor]').waitFor();
}

async function say(page: Page, text: string): Promise<void> {
  await page.locator('[data-slate-editor]').click();
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
  await page.getByText(text).last().waitFor();
}

/** @throws Error of the first step that does not come to what it should */
export async function scenario(stage: Stage): Promise<void> {
  const play = new Play(stage);
  const account = await registerAccount(stage.homeserver, 'alice');
  const bob = await registerAccount(stage.homeserver, 'bob');
  const alice = await play.logIn('alice');

  await play.step('a public room', alice, () =>
    createRoom(alice, stage.client, 'Garden', async () => {
      await alice.getByRole('button', { name: 'Private' }).click();
      await alice.getByText('Public (anyone can join)').click();
      await alice.locator('input[placeholder=my_address]').fill('garden');
    }),
  );
  await play.step('a text', alice, () => say(alice, 'The roses need water'));
  await play.step('an image', alice, async () => {
    const chooser = alice.waitForEvent('filechooser');
    await alice
      .locator('[data-slate-editor]')
      .locator('xpath=ancestor::*[.//button][1]')
      .locator('button')
      .first()
      .click();
    await (await chooser).setFiles({ name: 'rose.png', mimeType: 'image/png', buffer: await picture(320, 200) });
    await alice.getByText('rose.png').first().waitFor();
    // It is there when the upload has ended.
    await alice.getByText('Send', { exact: true }).click();
    await alice.locator('img[alt="rose.png"]').first().waitFor();
  });

  const { room_id: roomId } = await bob.must('GET', `${v3}/directory/room/${encodeURIComponent('#garden:localhost')}`);
  const room = `${v3}/rooms/${encodeURIComponent(String(roomId))}`;
  await play.step('a second user replies, reacts and starts a thread', alice, async () => {
    await bob.join(String(roomId));
    const history = await bob.history(String(roomId));
    const first = history.find(({ type }) => type === 'm.room.message')?.event_id;
    const send = (type: string, content: object) => bob.must('PUT', `${room}/send/${type}/${Math.random()}`, content);
    const reply = { 'm.in_reply_to': { event_id: first } };
    await send('m.room.message', { msgtype: 'm.text', body: 'I shall do it at six', 'm.relates_to': reply });
    await send('m.reaction', { 'm.relates_to': { rel_type: 'm.annotation', event_id: first, key: '👍' } });
    const thread = { rel_type: 'm.thread', event_id: first, is_falling_back: true, ...reply };
    await send('m.room.message', { msgtype: 'm.text', body: 'And the tulips?', 'm.relates_to': thread });
    await alice.getByText('I shall do it at six').last().waitFor();
    await alice.getByText('And the tulips?').last().waitFor();
    await alice.getByText('👍').first().waitFor();
    await alice.getByText('And the tulips?').last().scrollIntoViewIfNeeded();
  });

  await play.step('room settings', alice, async () => {
    await alice.locator('header:has-text("Garden")').locator('button').last().click();
    await alice.getByText('Room Settings').click();
    await alice.getByText('Members', { exact: true }).first().click();
    await alice.getByText('2 members', { exact: true }).waitFor();
    await alice.getByText('Permissions', { exact: true }).first().click();
    await alice.getByText('Default role').first().waitFor();
  });

  await play.step('search', alice, async () => {
    await alice.goto(`${stage.client}/home/search/`);
    await alice.locator('input[name=searchInput]').fill('tulips');
    await alice.keyboard.press('Enter');
    await alice.getByText('And the tulips?').first().waitFor();
  });

  await play.step('a count of notifications', alice, async () => {
    const mentions = { user_ids: ['@alice:localhost'] };
    const content = { msgtype: 'm.text', body: 'alice, look at the pond', 'm.mentions': mentions };
    await bob.must('PUT', `${room}/send/m.room.message/mention`, content);
    await alice.locator('a:has-text("Garden")').getByText(/^\d+$/).waitFor();
    await alice.goto(`${stage.client}/inbox/notifications/`);
    await alice.getByText('look at the pond').first().waitFor();
  });

  const second = await play.logIn('alice');
  await play.step('an encrypted room', alice, async () => {
    // Private rooms are encrypted unless one says otherwise.
    await createRoom(alice, stage.client, 'Cellar');
    await say(alice, 'The key is under the pot');
  });
  await play.step('the second device reads it', second, async () => {
    await second.getByText('Cellar').first().click();
    await second.getByText('The key is under the pot').first().waitFor();
    const { joined_rooms: rooms } = await account.must('GET', `${v3}/joined_rooms`);
    const cellar = (rooms as string[]).find((joined) => joined !== roomId) ?? '';
    const types = (await account.history(cellar)).map(({ type }) => type);
    if (!types.includes('m.room.encrypted') || types.includes('m.room.message')) {
      throw new Error(`the message was not sent encrypted: ${types.join()}`);
    }
    await say(second, 'I have found it');
  });
  await play.step('and the first one its answer', alice, () => alice.getByText('I have found it').first().waitFor());
  account.close();
  bob.close();
}
