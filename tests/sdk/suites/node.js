// twilio for Node, 3 to 6: the documentation's samples with nothing changed but each domain's address.
'use strict';

const twilio = require('twilio');

const { SIDEKEY_URL, SEEDS, KEY_SID, TEAM_KIND, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN } = process.env;
const SEEDED = Array.from({ length: Number(SEEDS) }, (_, number) => `seed ${number}`);

function connect(token = TWILIO_AUTH_TOKEN) {
  const client = twilio(TWILIO_ACCOUNT_SID, token);
  // Through a tunnel not even that.
  if (SIDEKEY_URL) {
    client.api.baseUrl = SIDEKEY_URL;
    client.messaging.baseUrl = `${SIDEKEY_URL}/messaging.twilio.com`;
  }
  return client;
}

const client = connect();

function check(holds, what = '') {
  if (!holds) throw new Error(`${what}`);
}

// The SDK raises its own exception, as it does for Twilio's own refusals.
async function refused(call, status = 403, code = 20403) {
  let got;
  try {
    got = await call();
  } catch (error) {
    check(error.constructor.name === 'RestException', error.stack);
    check(error.status === status && error.code === code, `${error.status} ${error.code}: ${error.message}`);
    return;
  }
  throw new Error(`not refused: ${JSON.stringify(got)}`);
}

async function sends_a_message() {
  const message = await client.messages.create({
    body: 'Never gonna give you up.',
    from: '+15017122661',
    to: '+15558675310',
  });
  check(/^(SM|MM)[0-9a-f]{32}$/.test(message.sid), message.sid);
  check(message.body === 'Never gonna give you up.', message.body);
  check((await client.messages(message.sid).fetch()).sid === message.sid);
}

async function reads_every_page_of_a_list() {
  const messages = await client.messages.list({ pageSize: 50 });
  const bodies = new Set(messages.map((message) => message.body));
  check(SEEDED.every((seed) => bodies.has(seed)), `${messages.length} messages`);
  check(new Set(messages.map((message) => message.sid)).size === messages.length, 'a message came twice');
}

async function reads_every_page_by_absolute_links() {
  const services = await client.messaging.v1.services.list({ pageSize: 50 });
  const names = new Set(services.map((service) => service.friendlyName));
  check(services.length === SEEDED.length && SEEDED.every((seed) => names.has(seed)), `${services.length} services`);
}

async function stops_where_it_is_told() {
  check((await client.messages.list({ limit: 60, pageSize: 50 })).length === 60);
}

async function is_refused_every_key_operation() {
  await refused(() => client.keys.list());
  await refused(() => client.keys(KEY_SID).fetch());
  await refused(() => client.newKeys.create({ friendlyName: 'User Joey' }));
  await refused(() => client.keys(KEY_SID).update({ friendlyName: 'friendly_name' }));
  await refused(() => client.keys(KEY_SID).remove());
  await refused(() => client.signingKeys.list());
  await refused(() => client.newSigningKeys.create());
}

async function is_refused_accounts() {
  await refused(() => client.api.accounts.list());
  await refused(() => client.api.accounts(TWILIO_ACCOUNT_SID).fetch());
  await refused(() => client.api.accounts.create({ friendlyName: 'sub' }));
  await refused(() => client.api.accounts(`AC${'0'.repeat(32)}`).messages.list({ limit: 1 }));
}

async function gets_nowhere_with_a_sid_that_climbs() {
  for (const sid of ['%2e%2e%2fKeys', 'SM1%2f..%2f..%2fKeys', 'x%2f..%2f..%2fKeys']) {
    let got;
    try {
      got = await client.messages(sid).fetch();
    } catch (error) {
      check(error.status === 400 || error.status === 403, `${sid}: ${error.status} ${error.message}`);
      continue;
    }
    throw new Error(`${sid}: ${JSON.stringify(got)}`);
  }
}

async function is_refused_with_a_wrong_token() {
  await refused(() => connect('nothing').messages.list({ limit: 1 }), 401, 20003);
}

async function manages_keys() {
  const made = await client.newKeys.create({ friendlyName: 'User Joey' });
  check(/^SK[0-9a-f]{32}$/.test(made.sid) && made.secret, made.sid);
  check((await client.keys.list()).some((key) => key.sid === made.sid), 'the new key is not listed');
  check((await client.keys(made.sid).fetch()).friendlyName === 'User Joey');
  const renamed = await client.keys(made.sid).update({ friendlyName: 'friendly_name' });
  check(renamed.friendlyName === 'friendly_name', renamed.friendlyName);
  check((await client.keys(made.sid).remove()) === true);
  await refused(() => client.keys(made.sid).fetch(), 404, 20404);
}

const common = [
  sends_a_message,
  reads_every_page_of_a_list,
  reads_every_page_by_absolute_links,
  stops_where_it_is_told,
];
const standard = [
  is_refused_every_key_operation,
  is_refused_accounts,
  gets_nowhere_with_a_sid_that_climbs,
];
if (SIDEKEY_URL) {
  // In a tunnel the proxy's proof decides; what an SDK sends inside is replaced.
  standard.push(is_refused_with_a_wrong_token);
}

(async () => {
  for (const test of [...common, ...(TEAM_KIND === 'master' ? [manages_keys] : standard)]) {
    let detail = '';
    try {
      await test();
    } catch (error) {
      detail = error.stack || `${error}`;
    }
    console.log(JSON.stringify({ case: test.name.replaceAll('_', ' '), ok: detail === '', detail }));
  }
})();
