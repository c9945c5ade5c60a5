/**
 * What the examples share: a MegaComet in this process, and a web server for one page. An application of yours has a web
 * server already, and MegaComet most likely runs as a process of its own.
 */

import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from 'megacomet';

/**
 * Serves `index.html` of a folder, where `{{push}}` stands for MegaComet's address, until Ctrl-C.
 *
 * @param folder URL of the example
 * @param options of MegaComet, as `megacomet serve` has them
 * @param routes what the application answers besides: `'POST /jobs': async (body, server, url) => answer`, both JSON. What
 *   they throw may have a `status`
 */
export async function serve(folder, options, routes = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'megacomet-example-'));
  const server = await start({
    clientPorts: Number(process.env.PUSH_PORT ?? 0),
    apiPort: 0,
    classicPort: 'none',
    workers: 1,
    maxConnections: 1_000,
    log: 'memory',
    logLevel: 'warn',
    runDir: join(directory, 'run'),
    ...options,
  });
  const address = `http://${server.addresses.clients[0]}`;
  const push = process.env.PUSH_URL ?? address;

  const web = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const route = routes[`${request.method} ${url.pathname}`];
    try {
      if (route) {
        let body = '';
        for await (const chunk of request) body += chunk;
        const answer = await route(body && JSON.parse(body), server, url);
        response.setHeader('content-type', 'application/json').end(JSON.stringify(answer ?? null));
      } else if (url.pathname === '/') {
        const page = await readFile(new URL('index.html', folder), 'utf8');
        response.setHeader('content-type', 'text/html; charset=utf-8').end(page.replaceAll('{{push}}', push));
      } else if (url.pathname === '/style.css') {
        response.setHeader('content-type', 'text/css').end(await readFile(new URL('style.css', import.meta.url)));
      } else {
        response.writeHead(404).end();
      }
    } catch (error) {
      if (error.status === undefined) console.error(error);
      response.writeHead(error.status ?? 500).end(error.message);
    }
  });
  web.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
  await once(web, 'listening');
  console.log(`MegaComet serves at ${address}`);
  console.log(`Open http://127.0.0.1:${web.address().port}/`);

  const stop = async () => {
    web.close();
    web.closeAllConnections();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  return server;
}
