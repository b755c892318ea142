/**
 * Forwarder Action for Auth0's post-change-password trigger: sends the event to the function that emails the user.
 *
 * Secrets: FUNCTION_URL (https://…) and CALLOUT_SIGNING_KEY (whsec_…, one of the function's keys).
 * Runs on Node 18 and 22, without npm dependencies. Success is a 200 or 202 response with the callout's id.
 */
const crypto = require('crypto');

// The only fields that leave the tenant: those that the email uses.
const FIELDS = [
  'tenant.id', 'connection.name',
  'request.ip', 'request.language', 'request.user_agent',
  'request.geoip.cityName', 'request.geoip.countryCode', 'request.geoip.countryName', 'request.geoip.timeZone',
  'user.email', 'user.email_verified', 'user.user_id',
];

// Auth0 allows all Actions of the trigger 20 s in total, and keeps 256 characters of an execution's output.
const limits = {
  attempts: 2,
  attemptMs: 7000,
  totalMs: 15000,
  delayMs: 2000, // maximum, even if Retry-After is longer
  jitterMs: 500,
  responseBytes: 65536,
  fieldCharacters: 1000, // so that a huge User-Agent doesn't make the callout too large
  addressCharacters: 100,
  logCharacters: 256,
};
const clock = { now: Date.now, random: Math.random, sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) };

exports.onExecutePostChangePassword = async (event) => {
  const address = event.user.email;
  try {
    await send(event);
  } catch (error) {
    let cause = error.message.replace(/\s+/g, ' ');
    if (address) cause = cause.split(address).join('the user'); // a response may quote it
    const recipient = String(address || 'a user without an email address').slice(0, limits.addressCharacters);
    console.log(`Error sending email to ${recipient}: ${cause}`.slice(0, limits.logCharacters));
    // Throw, so that the tenant's log records actions_execution_failed and a log stream can trigger an alert.
    throw new Error(`The notice may not have been sent: ${cause}`.slice(0, limits.logCharacters));
  }
};

/** Send the callout. Both attempts have the same id and body, so the function can detect the duplicate. */
async function send(event) {
  const { CALLOUT_SIGNING_KEY: key, FUNCTION_URL: functionUrl } = event.secrets;
  const started = clock.now();
  const body = JSON.stringify({ event: pickFields(event), time: new Date(started).toISOString() });
  const callout = { url: parseUrl(functionUrl), key, id: `msg_${crypto.randomBytes(16).toString('hex')}`, body };
  for (let attempt = 1; ; attempt += 1) {
    const remainingMs = Math.min(limits.attemptMs, started + limits.totalMs - clock.now());
    try {
      return await withTimeout(remainingMs, (signal) => post(callout, signal));
    } catch (error) {
      if (!error.retry || attempt === limits.attempts) throw error;
      await clock.sleep(Math.min(limits.delayMs, error.afterMs + limits.jitterMs * clock.random()));
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
  let result;
  try {
    response = await fetch(url, { method: 'POST', headers, body, redirect: 'error', signal });
    result = await readJson(response, signal);
  } catch (error) {
    const reason = error.cause?.code || error.cause?.message || error.message; // fetch wraps the error
    throw createError(`can't reach the function: ${reason}`, reason !== 'unexpected redirect');
  }
  checkResponse(response, result, id);
}

/** Throw unless the function itself reports success: a login page or a proxy may respond with 200 too. */
function checkResponse({ status, headers }, result, id) {
  const accepted = status === 200 || status === 202;
  if (accepted && result?.id === id) return;
  const error = typeof result?.error?.code === 'string' ? result.error : undefined; // Google's codes are numbers
  const otherCause = accepted ? `HTTP ${status}, but not from the function: check FUNCTION_URL` : `HTTP ${status}`;
  const cause = error ? `${status} ${error.code}${describeFlow(result.actions)}: ${error.message}` : otherCause;
  const retry = [429, 500, 503, 504].includes(status) || (status === 502 && !error);
  const retryAfter = headers.get('retry-after');
  throw createError(cause, retry, /^\d+$/.test(retryAfter) ? retryAfter * 1000 : 0);
}

/** Name the Actions that failed if others succeeded: the email may have been sent. */
function describeFlow(actions) {
  const failed = Array.isArray(actions) ? actions.filter((action) => action?.status === 'failed') : [];
  return failed.length && failed.length < actions.length ? ` (only ${failed.map(({ name }) => name).join(', ')} failed)` : '';
}

/** Return a Standard Webhooks signature: HMAC-SHA256 over `id.timestamp.body` with the first of the keys. */
function sign(secret, id, timestamp, body) {
  const [, encoded] = /^\s*whsec_([A-Za-z0-9+/]+={0,2})(?:\s|$)/.exec(secret) ?? [];
  const key = Buffer.from(encoded ?? '', 'base64');
  if (!encoded || encoded.length % 4 || key.length < 24 || key.length > 64) {
    throw createError('the secret CALLOUT_SIGNING_KEY must be whsec_ followed by 24 to 64 bytes in base64');
  }
  return `v1,${crypto.createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/** Return the function's URL: https, or plain http on loopback. */
function parseUrl(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw createError('the secret FUNCTION_URL is missing or not a URL');
  }
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && loopback);
  if (!secure || url.username || url.password) {
    throw createError('the secret FUNCTION_URL must be an https URL without credentials');
  }
  return url.href;
}

/** Return the event's fields that are in FIELDS. `user` is always present, because the function requires it. */
function pickFields(event) {
  const picked = { user: {} };
  for (const path of FIELDS) {
    const parents = path.split('.');
    const name = parents.pop();
    const value = parents.reduce((object, parent) => object?.[parent], event)?.[name];
    if (value === undefined) continue;
    const target = parents.reduce((object, parent) => (object[parent] ??= {}), picked);
    target[name] = typeof value === 'string' ? Array.from(value).slice(0, limits.fieldCharacters).join('') : value;
  }
  return picked;
}

/** Return the response's JSON, or undefined if it isn't JSON or is larger than the function's responses. */
async function readJson({ body }, signal) {
  if (!body) return undefined;
  const reader = body.getReader();
  signal.addEventListener('abort', () => reader.cancel().catch(() => {}));
  const chunks = [];
  let size = 0;
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    size += chunk.value.length;
    if (size > limits.responseBytes) return reader.cancel();
    chunks.push(chunk.value);
  }
  try {
    return JSON.parse(Buffer.concat(chunks));
  } catch {
    return undefined;
  }
}

/** Avoid AbortSignal.timeout: Node may garbage-collect it while the response's body is read. */
async function withTimeout(ms, work) {
  const controller = new AbortController();
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(createError(`no response within ${ms} ms`, true));
      controller.abort();
    }, ms);
  });
  return Promise.race([work(controller.signal), timeout]).finally(() => clearTimeout(timer));
}

function createError(cause, retry = false, afterMs = 0) {
  return Object.assign(new Error(cause), { retry, afterMs });
}

// For the tests; Auth0 uses only the handler.
Object.assign(exports, { sign, limits, clock });
