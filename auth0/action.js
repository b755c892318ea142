/**
 * Auth0 Action for the post-change-password trigger: hands the event to the function that mails the user.
 *
 * Secrets of this Action: FUNCTION_URL (https://…) and CALLOUT_SIGNING_KEY (whsec_…, as the function has it).
 * No npm dependency; Node 18 and 22. The function answers 200 or 202 with the callout's id; nothing else is success.
 */
const crypto = require('crypto');

// What leaves the tenant: the members that the mail uses, and nothing more.
const MEMBERS = [
  'tenant.id', 'connection.name',
  'request.ip', 'request.language', 'request.user_agent',
  'request.geoip.cityName', 'request.geoip.countryCode', 'request.geoip.countryName', 'request.geoip.timeZone',
  'user.email', 'user.email_verified', 'user.user_id',
];

// Auth0 gives all Actions of the trigger 20 s together and keeps 256 characters of an execution's output.
const limits = {
  attempts: 2,
  attemptMs: 7000,
  totalMs: 15000,
  pauseMs: 2000, // Retry-After is honoured up to here
  jitterMs: 500,
  answerBytes: 65536,
  memberCharacters: 1000, // a huge User-Agent must not make the callout too large to be taken
  addressCharacters: 100,
  logCharacters: 256,
};
const clock = { now: Date.now, random: Math.random, sleep: (ms) => new Promise((done) => setTimeout(done, ms)) };

exports.onExecutePostChangePassword = async (event) => {
  const address = event.user.email;
  try {
    await send(event);
  } catch (error) {
    let cause = error.message.replace(/\s+/g, ' ');
    if (address) cause = cause.split(address).join('the user'); // an answer may echo it
    const who = String(address || 'a user without an address').slice(0, limits.addressCharacters);
    console.log(`Error sending email to ${who}: ${cause}`.slice(0, limits.logCharacters));
    // Thrown, so that the tenant's log has an actions_execution_failed: a log stream can raise the alarm.
    throw new Error(`The notice may not have been sent: ${cause}`.slice(0, limits.logCharacters));
  }
};

/** Both attempts carry the same id and the same bytes, by which the function knows a repetition. */
async function send(event) {
  const { CALLOUT_SIGNING_KEY: key, FUNCTION_URL: address } = event.secrets;
  const started = clock.now();
  const body = JSON.stringify({ event: pick(event), time: new Date(started).toISOString() });
  const callout = { url: endpoint(address), key, id: `msg_${crypto.randomBytes(16).toString('hex')}`, body };
  for (let attempt = 1; ; attempt += 1) {
    const left = Math.min(limits.attemptMs, started + limits.totalMs - clock.now());
    try {
      return await within(left, (signal) => post(callout, signal));
    } catch (error) {
      if (!error.retry || attempt === limits.attempts) throw error;
      await clock.sleep(Math.min(limits.pauseMs, error.afterMs + limits.jitterMs * clock.random()));
    }
  }
}

async function post({ url, key, id, body }, signal) {
  const timestamp = Math.floor(clock.now() / 1000);
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': sign(key, id, timestamp, body),
  };
  let response;
  let answer;
  try {
    response = await fetch(url, { method: 'POST', headers, body, redirect: 'error', signal });
    answer = await read(response, signal);
  } catch (error) {
    const reason = error.cause?.code || error.cause?.message || error.message; // fetch hides it in `cause`
    throw failure(`cannot reach the function: ${reason}`, reason !== 'unexpected redirect');
  }
  judge(response, answer, id);
}

/** Throws unless the answer is the function's own: a login page or a proxy may well say 200. */
function judge({ status, headers }, answer, id) {
  const accepted = status === 200 || status === 202;
  if (accepted && answer?.id === id) return;
  const error = typeof answer?.error?.code === 'string' ? answer.error : undefined; // Google's own has a number
  const stranger = accepted ? `HTTP ${status}, but not from the function: check FUNCTION_URL` : `HTTP ${status}`;
  const cause = error ? `${status} ${error.code}: ${error.message}` : stranger;
  const retry = [429, 500, 503, 504].includes(status) || (status === 502 && !error);
  const after = headers.get('retry-after');
  throw failure(cause, retry, /^\d+$/.test(after) ? after * 1000 : 0);
}

/** Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`. Of several keys (rotation) the first signs. */
function sign(secret, id, timestamp, body) {
  const [, encoded] = /^\s*whsec_([A-Za-z0-9+/]+={0,2})(?:\s|$)/.exec(secret) ?? [];
  const key = Buffer.from(encoded ?? '', 'base64');
  if (!encoded || encoded.length % 4 || key.length < 24 || key.length > 64) {
    throw failure('the secret CALLOUT_SIGNING_KEY must be whsec_ and 24 to 64 bytes in base64');
  }
  return `v1,${crypto.createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/** The function's address: https, or plain http on this very machine. */
function endpoint(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw failure('the secret FUNCTION_URL is missing or is no address');
  }
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && loopback);
  if (!secure || url.username || url.password) throw failure('the secret FUNCTION_URL must be a plain https address');
  return url.href;
}

/** The listed members that the event has; `user` even when it is empty, since the function asks for it. */
function pick(event) {
  const picked = { user: {} };
  for (const path of MEMBERS) {
    const parents = path.split('.');
    const name = parents.pop();
    const value = parents.reduce((object, parent) => object?.[parent], event)?.[name];
    if (value === undefined) continue;
    const target = parents.reduce((object, parent) => (object[parent] ??= {}), picked);
    target[name] = typeof value === 'string' ? Array.from(value).slice(0, limits.memberCharacters).join('') : value;
  }
  return picked;
}

/** The answer's JSON; undefined where it is none, or larger than any that the function gives. */
async function read({ body }, signal) {
  if (!body) return undefined;
  const reader = body.getReader();
  signal.addEventListener('abort', () => reader.cancel().catch(() => {}));
  const chunks = [];
  let size = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.length;
    if (size > limits.answerBytes) return reader.cancel();
    chunks.push(part.value);
  }
  try {
    return JSON.parse(Buffer.concat(chunks));
  } catch {
    return undefined;
  }
}

/** Not AbortSignal.timeout: Node can lose it to the garbage collector while the answer's body is read. */
async function within(ms, work) {
  const controller = new AbortController();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(failure(`no answer within ${ms} ms`, true));
      controller.abort();
    }, ms);
  });
  return Promise.race([work(controller.signal), late]).finally(() => clearTimeout(timer));
}

function failure(cause, retry = false, afterMs = 0) {
  return Object.assign(new Error(cause), { retry, afterMs });
}

// For the tests; Auth0 looks only at the handler.
Object.assign(exports, { sign, limits, clock });
