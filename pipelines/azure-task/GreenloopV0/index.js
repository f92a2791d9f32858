// Fetches a release of Greenloop, verifies it, and runs it. No packages: what runs is what is here.
'use strict';

const { createHash, createPublicKey, verify } = require('node:crypto');
const { spawn, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const env = process.env;
const input = (name) => (env[`INPUT_${name.toUpperCase()}`] ?? '').trim();

// For a logging command. The percent sign comes first.
const escape = (text) =>
  String(text).replace(/%/g, '%AZP25').replace(/;/g, '%3B').replace(/\r/g, '%0D')
    .replace(/\n/g, '%0A').replace(/]/g, '%5D');
const command = (name, value) => process.stdout.write(`##vso[${name}]${escape(value)}\n`);
const outcome = (value) => command('task.setvariable variable=outcome;isOutput=true', value);

class Failure extends Error {}

async function download(url) {
  let last;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (attempt > 0) await new Promise((go) => setTimeout(go, attempt * 1000));
    try {
      const answer = await fetch(url, { redirect: 'follow' });
      if (answer.ok) {
        const body = Buffer.from(await answer.arrayBuffer());
        const length = Number(answer.headers.get('content-length') ?? body.length);
        // A compressed answer has another length than its body.
        if (answer.headers.get('content-encoding') || length === body.length) return body;
        last = new Failure(`${url}: the download broke off after ${body.length} of ${length} bytes`);
        continue;
      }
      last = new Failure(`${url}: the server answered ${answer.status}`);
      if (answer.status < 500 && answer.status !== 429) break;
    } catch (error) {
      last = new Failure(`${url}: ${error.cause?.message ?? error.message}`);
    }
  }
  throw last;
}

function checkSignature(sums, signature, key) {
  let publicKey;
  try {
    publicKey = createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' });
  } catch {
    throw new Failure('publicKey is not the base64 of an Ed25519 public key in DER');
  }
  if (!verify(null, sums, publicKey, signature)) {
    throw new Failure('SHA256SUMS: the signature is not by publicKey; nothing was run');
  }
}

// The archive of this machine in SHA256SUMS, with its checksum.
function archiveOf(sums) {
  const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch];
  if (process.platform !== 'linux' || !machine) {
    throw new Failure(`there is no release for ${process.platform} on ${process.arch}`);
  }
  const found = sums.toString('utf8').split('\n').map((line) =>
    /^([0-9a-f]{64}) [ *](greenloop-(\d[0-9A-Za-z.-]*?)-(\w+)-unknown-linux-(musl|gnu)\.tar\.gz)$/.exec(line))
    .filter((match) => match && match[4] === machine)
    // A static program first.
    .sort((one, other) => other[5].localeCompare(one[5]));
  if (found.length === 0) throw new Failure(`the release has no program for ${machine}`);
  const [, sha256, name, version] = found[0];
  return { sha256, name, version };
}

// The folder with the verified program; kept for the next job on this agent.
async function install() {
  const releases = input('releases').replace(/\/+$/, '');
  if (!releases) return '';
  const wanted = input('version').replace(/^v/, '');
  const base = wanted ? `${releases}/download/v${wanted}` : `${releases}/latest/download`;
  const sums = await download(`${base}/SHA256SUMS`);
  if (input('publicKey')) {
    checkSignature(sums, await download(`${base}/SHA256SUMS.ed25519`), input('publicKey'));
  } else {
    console.log('The signature of the release is not verified: publicKey says whose it must be.');
  }
  const { sha256, name, version } = archiveOf(sums);
  const cache = path.join(env.AGENT_TOOLSDIRECTORY ?? os.tmpdir(), 'greenloop', version, sha256);
  // Written last: without it the folder is not whole.
  const whole = `${cache}.complete`;
  if (!fs.existsSync(whole)) {
    const body = await download(`${base}/${name}`);
    const found = createHash('sha256').update(body).digest('hex');
    if (found !== sha256) throw new Failure(`${name}: the checksum is wrong; nothing was run`);
    fs.mkdirSync(cache, { recursive: true });
    execFileSync('tar', ['-xz', '--strip-components=1', '-C', cache], { input: body });
    fs.writeFileSync(whole, '');
  }
  console.log(execFileSync(path.join(cache, 'greenloop'), ['--version'], { encoding: 'utf8' }).trim());
  return cache;
}

// What the program gets of this process's environment: not the agent's own inputs and secrets.
function environment(folder) {
  const own = /^(INPUT_|ENDPOINT_|SECRET_|SECUREFILE_|VSTS_SECRET_)/;
  const given = Object.fromEntries(Object.entries(env).filter(([name]) => !own.test(name)));
  if (folder) given.PATH = `${folder}${path.delimiter}${env.PATH ?? ''}`;
  // For the fix branch, its pull request and OIDC.
  given.SYSTEM_ACCESSTOKEN ??= env.ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN;
  const connection = input('azureSubscription');
  if (connection) {
    const of = (name) => env[`ENDPOINT_AUTH_PARAMETER_${connection}_${name}`];
    const scheme = env[`ENDPOINT_AUTH_SCHEME_${connection}`] ?? '';
    if (scheme.toLowerCase() !== 'workloadidentityfederation') {
      throw new Failure(`the connection ${connection} uses ${scheme || 'no known scheme'}: use workload identity federation`);
    }
    given.AZURE_TENANT_ID = of('TENANTID');
    given.AZURE_CLIENT_ID = of('SERVICEPRINCIPALID');
    given.AZURE_SERVICE_CONNECTION_ID = connection;
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function argumentsOf() {
  const chosen = input('command') || 'run';
  const common = [];
  if (input('environment')) common.push('--environment', input('environment'));
  // The agent fills an empty filePath with the folder itself.
  const config = input('config');
  if (config && fs.existsSync(config) && fs.statSync(config).isFile()) common.push('--config', config);
  const iterations = input('maxIterations');
  if (iterations && !/^\d+$/.test(iterations)) throw new Failure('maxIterations is not a number');
  const limit = iterations ? ['--max-iterations', iterations] : [];
  const approved = input('approved').toLowerCase() === 'true' ? ['--yes'] : [];
  switch (chosen) {
    case 'run': return ['run', ...common, ...limit, ...approved, '--output', 'azure'];
    case 'verify': return ['verify', ...common, '--output', 'azure'];
    case 'pr': return ['pr', ...common, ...approved, '--output', 'azure'];
    case 'rollback': return ['rollback', ...common, '--output', 'azure'];
    case 'heal':
      if (!input('heal')) throw new Failure('heal is empty: it is the command to repair');
      return ['heal', ...limit, '--output', 'azure', '--', input('heal')];
    default: throw new Failure(`command is ${chosen}: use run, verify, rollback, pr or heal`);
  }
}

const MEANING = {
  1: 'the failure was not repaired and needs a person: see the run\'s summary',
  2: 'the configuration or the arguments are invalid; nothing was run',
  3: 'something that Greenloop depends on is unreachable or unusable: run greenloop doctor',
  4: 'the deployment failed; the last verified release was restored',
  5: 'another run holds the environment: run this job again when it has ended',
  130: 'cancelled',
};

function run(folder, args) {
  return new Promise((resolve, reject) => {
    const directory = input('workingDirectory') || env.BUILD_SOURCESDIRECTORY || process.cwd();
    const program = folder ? path.join(folder, 'greenloop') : 'greenloop';
    const child = spawn(program, args, { cwd: directory, env: environment(folder), stdio: 'inherit' });
    // A cancelled run restores the release that served before, then ends.
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
    child.on('error', (error) => reject(error.code === 'ENOENT'
      ? new Failure('greenloop is not on this agent: set releases') : error));
    child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}

async function main() {
  const args = argumentsOf();
  const folder = await install();
  const code = await run(folder, args);
  if (code === 0) return 0;
  const says = MEANING[code] ?? `greenloop ended with exit code ${code}`;
  command(`task.logissue type=${code === 130 ? 'warning' : 'error'};`, says);
  if (code === 2) outcome('unusable');
  if (code === 5) outcome('held');
  command(`task.complete result=${code === 130 ? 'Cancelled' : 'Failed'};`, says);
  return code;
}

main().then((code) => { process.exitCode = code; }, (error) => {
  command('task.logissue type=error;', error instanceof Failure ? error.message : error.stack);
  outcome('unusable');
  command('task.complete result=Failed;', error.message);
  process.exitCode = 1;
});
