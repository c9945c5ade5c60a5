// A chat without a line of server code: browsers publish to the channel that they listen to.

import { serve } from '../serve.mjs';

await serve(new URL('.', import.meta.url), {
  clientPublish: ['chat/*'],
  // Who opens the page sees what was said within the last hour.
  retain: { 'chat/*': '1000/1h' },
});
