// Opens pages in headless Chromium at each size, light and dark, and says what is wrong with them: what axe-core finds,
// what is wider than the window, what was asked of other hosts, what stands in the console.
//
//   node open.mjs CHROMIUM ORIGIN [DIRECTORY] < paths, one a line
//
// Prints one fault a line and, last, how many views were looked at. Pictures go into DIRECTORY, where one is named.
// Chromium is spoken to over a pipe (its DevTools protocol), so that this needs no package but axe-core.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIZES = [[390, 844], [1440, 900]];
const SCHEMES = ['light', 'dark'];
const WORKERS = 2;
// No view takes so long, in milliseconds, unless something hangs.
const PATIENCE = 60_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const [chromium, origin, pictures] = process.argv.slice(2);
const paths = readFileSync(0, 'utf8').split('\n').filter(Boolean);

// A browser of its own for each worker: one draws and answers slowly, if at all, what stands behind another tab.
function launch() {
    const profile = mkdtempSync(join(tmpdir(), 'listend-pages-'));
    const browser = spawn(chromium, [
        '--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
        '--hide-scrollbars', `--user-data-dir=${profile}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    const [, , , toBrowser, fromBrowser] = browser.stdio;
    const waiting = new Map();
    const events = { heard: () => {} };
    let last = 0;
    let held = Buffer.alloc(0);
    fromBrowser.on('data', (bytes) => {
        held = Buffer.concat([held, bytes]);
        for (let end = held.indexOf(0); end >= 0; end = held.indexOf(0)) {
            const message = JSON.parse(held.subarray(0, end).toString());
            held = held.subarray(end + 1);
            if (message.id) {
                const { resolve, reject, method } = waiting.get(message.id);
                waiting.delete(message.id);
                if (message.error) reject(new Error(`${method}: ${message.error.message}`));
                else resolve(message.result);
            } else {
                events.heard(message.method, message.params);
            }
        }
    });
    const ended = new Promise((resolve) => browser.on('exit', resolve));
    ended.then((code) => waiting.forEach(({ reject }) => reject(new Error(`Chromium ended with ${code}`))));
    return {
        events,
        send(method, params = {}, sessionId = undefined) {
            const id = ++last;
            toBrowser.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
            return new Promise((resolve, reject) => waiting.set(id, { resolve, reject, method }));
        },
        async end() {
            browser.kill('SIGKILL');
            await ended;
            // Its children may write for a moment longer.
            for (let tries = 0; tries < 50; tries += 1) {
                try {
                    rmSync(profile, { recursive: true, force: true });
                    return;
                } catch {
                    await new Promise((resolve) => setTimeout(resolve, 100));
                }
            }
        },
    };
}

async function tab({ send, events }) {
    const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
    const ask = (method, params) => send(method, params, sessionId);
    let faults = [];
    let loaded = () => {};
    events.heard = (method, params) => {
        if (method === 'Page.loadEventFired') loaded();
        if (method === 'Network.requestWillBeSent' && !params.request.url.startsWith(`${origin}/`)) {
            faults.push(`asks for ${params.request.url}`);
        }
        if (method === 'Runtime.exceptionThrown') faults.push(`throws: ${params.exceptionDetails.text}`);
        if (method === 'Runtime.consoleAPICalled' && params.type === 'error') faults.push('writes an error to the console');
        if (method === 'Log.entryAdded' && params.entry.level === 'error') faults.push(`${params.entry.text} ${params.entry.url ?? ''}`);
    };
    for (const domain of ['Page', 'Network', 'Runtime', 'Log']) await ask(`${domain}.enable`);
    const evaluate = async (expression) => {
        const { result, exceptionDetails } = await ask('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
    };
    return {
        async open(path) {
            faults = [];
            const load = new Promise((resolve) => { loaded = resolve; });
            const { errorText } = await ask('Page.navigate', { url: origin + path });
            if (errorText) throw new Error(`${path}: ${errorText}`);
            await load;
            await evaluate(`${AXE}; undefined`);
            return () => faults;
        },
        async dress([width, height], scheme) {
            await ask('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 500 });
            await ask('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
        },
        // What a page is made of is the same in both schemes; only its colours are looked at twice.
        judge: (scheme) => evaluate(`(async () => {
            // Everything is looked at, what is folded away included.
            for (const folded of document.querySelectorAll('details')) folded.open = true;
            const { scrollWidth } = document.documentElement;
            const wide = scrollWidth > innerWidth ? [\`is \${scrollWidth} px wide in a window of \${innerWidth}: \` + [...document.body.querySelectorAll('*')]
                .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3).map((e) => e.outerHTML.slice(0, 100)).join(' | ')] : [];
            const { violations } = await axe.run(document, { resultTypes: ['violations'], ${scheme === 'dark' ? "runOnly: ['color-contrast', 'link-in-text-block']" : ''} });
            for (const folded of document.querySelectorAll('details')) folded.open = false;
            return wide.concat(violations.map((v) => \`\${v.id} (\${v.impact}): \${v.help}: \` + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary.replace(/\\s+/g, ' ')).join(' | ')));
        })()`),
        async picture(file) {
            const { data } = await ask('Page.captureScreenshot', { captureBeyondViewport: true });
            writeFileSync(file, Buffer.from(data, 'base64'));
        },
        size: () => evaluate('document.documentElement.scrollHeight'),
    };
}

let views = 0;
async function look(page, path) {
    const heard = await page.open(path);
    for (const size of SIZES) {
        for (const scheme of SCHEMES) {
            await page.dress(size, scheme);
            const faults = (await page.judge(scheme)).concat(heard().splice(0));
            for (const fault of faults) console.log(`${path} at ${size[0]} px, ${scheme}: ${fault.replace(/\n/g, ' ')}`);
            views += 1;
            if (pictures) {
                await page.dress([size[0], Math.min(await page.size(), 6000)], scheme);
                await page.picture(join(pictures, `${path.slice(1).replaceAll('/', '-')}-${size[0]}-${scheme}.png`));
            }
        }
    }
}

async function work() {
    const browser = launch();
    try {
        const page = await tab(browser);
        for (let path = paths.shift(); path; path = paths.shift()) {
            const hangs = setTimeout(() => {
                console.log(`${path}: hangs`);
                process.exitCode = 1;
                browser.end();
            }, PATIENCE);
            await look(page, path);
            clearTimeout(hangs);
        }
    } finally {
        await browser.end();
    }
}

await Promise.all(Array.from({ length: WORKERS }, work));
console.log(`${views} views`);
