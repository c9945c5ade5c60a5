/**
 * What is sent on one connection, body and all, and how it has to be answered: the other half of requests.ts, which has
 * heads alone. One character of a literal is one byte.
 *
 * `POST /echo` returns its body, so an answer tells which bytes were taken for the body of which request. HIDDEN is the
 * request that an attacker would like to have served: it stands in a body, or behind something that two programs could end
 * at two places (RFC 9112 section 11.2).
 */

/** A whole request; the body of its answer is `hidden`. */
export const HIDDEN = 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhidden';

/** A request that is refused, with a status. Whatever follows on its connection is never served. */
export type Refused = [name: string, sent: string, status: number];

/** Requests that are served: the answers, each a status, or a status and a body. `'closes'`: nothing behind them is served. */
export type Served = [name: string, sent: string, answers: string[], closes?: 'closes'];

const head = (line: string, fields = ''): string => `${line} HTTP/1.1\r\nHost: a\r\n${fields && `${fields}\r\n`}\r\n`;
const post = (fields: string, body = 'abc'): string => head('POST /echo', fields) + body;
const length = (value: string): string => post(`Content-Length: ${value}`);
const chunked = (body: string): string => post('Transfer-Encoding: chunked', body);
/** To a reader for whom this is chunked the body ends at once, and HIDDEN follows; to any other it is in the body. */
const coding = (fields: string): string => post(fields, `0\r\n\r\n${HIDDEN}`);
const upgrade = (line: string, fields: string): string =>
  head(line, `Connection: Upgrade\r\nUpgrade: websocket${fields && `\r\n${fields}`}`);
const hex = (text: string): string => text.length.toString(16);
const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const VERSION = 'Sec-WebSocket-Version: 13';

const LENGTHS: Refused[] = [
  ['a length and chunked', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
  ['chunked and a length', post('Transfer-Encoding: chunked\r\nContent-Length: 5', '0\r\n\r\n'), 400],
  ['chunked and a length that holds a request', coding(`Content-Length: 60\r\nTransfer-Encoding: chunked`), 400],
  [
    'chunked and a length of zero',
    post('Transfer-Encoding: chunked\r\nContent-Length: 0', '3\r\nabc\r\n0\r\n\r\n'),
    400,
  ],
  ['chunked and two lengths', post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 5'), 400],
  ['a length and a coding that nobody knows', post('Content-Length: 3\r\nTransfer-Encoding: x'), 400],
  ['two lengths', post('Content-Length: 3\r\nContent-Length: 6', 'abcdef'), 400],
  ['two lengths, the larger first', post('Content-Length: 6\r\nContent-Length: 3', 'abcdef'), 400],
  ['two equal lengths', post('Content-Length: 3\r\nContent-Length: 3'), 400],
  ['two lengths far apart', post('Content-Length: 3\r\nX: y\r\nContent-Length: 0'), 400],
  ['two lengths in other letters', post('content-length: 3\r\nCONTENT-LENGTH: 0'), 400],
  ['an empty length and a good one', post('Content-Length:\r\nContent-Length: 3'), 400],
  ['a list of lengths', length('3, 3'), 400],
  ['a list without white space', length('3,0'), 400],
  ['a length and a comma', length('3,'), 400],
  ['a comma and a length', length(',3'), 400],
  ['an empty length', length(''), 400],
  ['a length of white space', length(' \t '), 400],
  ['a minus', length('-3'), 400],
  ['minus zero', length('-0'), 400],
  ['a plus', length('+3'), 400],
  ['a hexadecimal length', length('0x3'), 400],
  ['an octal length', length('0o3'), 400],
  ['an exponent', length('3e0'), 400],
  ['a fraction', length('3.0'), 400],
  ['an underscore', length('0_3'), 400],
  ['quotes', length('"3"'), 400],
  ['a parameter', length('3;a=b'), 400],
  ['letters', length('three'), 400],
  ['digits and letters', length('3abc'), 400],
  ['two numbers', length('3 3'), 400],
  ['two numbers and a tab', length('0\t3'), 400],
  ['a no-break space', length('\xa03'), 400],
  ['NEL behind the digits', length('3\x85'), 400],
  ['superscript digits', length('\xb3'), 400],
  ['full-width digits', length('\xef\xbc\x93'), 400],
  ['NUL behind the digits', length('3\0'), 400],
  ['a vertical tab before the digits', length('\x0b3'), 400],
  ['a form feed behind the digits', length('3\f'), 400],
  ['a length that wraps round 32 bits', length('4294967299'), 413],
  ['a length that wraps round 64 bits', length('18446744073709551619'), 400],
  ['a length above 2^53', length('9007199254740993'), 400],
  ['a length of a thousand digits', length('0'.repeat(1000)), 400],
  ['a length that is too large', length('99999999'), 413],
  ['a space before the colon', post('Content-Length : 3'), 400],
  ['a tab before the colon', post('Content-Length\t: 3'), 400],
  ['a space before the name', post('X: y\r\n Content-Length: 3'), 400],
  ['a folded length', post('Content-Length:\r\n 3'), 400],
  ['a length that goes on in the next line', post('Content-Length: 3\r\n 0'), 400],
  ['a length behind a bare CR', post('X: y\rContent-Length: 3'), 400],
  ['a length behind a bare LF', post('X: y\nContent-Length: 3'), 400],
  ['a length behind NUL', post('X: y\0Content-Length: 3'), 400],
  ['an underscore in the name', post('Content_Length: 3'), 411],
  ['a letter of another alphabet in the name', post('\xd0\xa1ontent-Length: 3'), 400],
  ['no length at all', post('X: y'), 411],
];

const CODINGS: Refused[] = [
  ['another coding', coding('Transfer-Encoding: gzip'), 400],
  ['identity', coding('Transfer-Encoding: identity'), 400],
  ['an empty coding', coding('Transfer-Encoding:'), 400],
  ['gzip, then chunked', coding('Transfer-Encoding: gzip, chunked'), 501],
  ['chunked, then gzip', coding('Transfer-Encoding: chunked, gzip'), 400],
  ['chunked, then identity', coding('Transfer-Encoding: chunked, identity'), 400],
  ['chunked twice', coding('Transfer-Encoding: chunked, chunked'), 400],
  ['chunked in two fields', coding('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'), 400],
  ['chunked, and identity in a second field', coding('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'), 400],
  ['identity, and chunked in a second field', coding('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked'), 400],
  ['a comma before chunked', coding('Transfer-Encoding: ,chunked'), 400],
  ['a comma behind chunked', coding('Transfer-Encoding: chunked,'), 400],
  ['a parameter', coding('Transfer-Encoding: chunked;a=b'), 400],
  ['a semicolon', coding('Transfer-Encoding: chunked;'), 400],
  ['double quotes', coding('Transfer-Encoding: "chunked"'), 400],
  ['single quotes', coding("Transfer-Encoding: 'chunked'"), 400],
  ['a word before', coding('Transfer-Encoding: x chunked'), 400],
  ['a word behind', coding('Transfer-Encoding: chunked x'), 400],
  ['a letter more', coding('Transfer-Encoding: chunkedx'), 400],
  ['a letter less', coding('Transfer-Encoding: chunke'), 400],
  ['a letter before', coding('Transfer-Encoding: xchunked'), 400],
  ['an accent', coding('Transfer-Encoding: ch\xfcnked'), 400],
  ['a colon more', coding('Transfer-Encoding:: chunked'), 400],
  ['a vertical tab before', coding('Transfer-Encoding: \x0bchunked'), 400],
  ['a form feed behind', coding('Transfer-Encoding: chunked\f'), 400],
  ['NUL behind', coding('Transfer-Encoding: chunked\0'), 400],
  ['a no-break space before', coding('Transfer-Encoding: \xa0chunked'), 400],
  ['NEL behind', coding('Transfer-Encoding: chunked\x85'), 400],
  ['DEL behind', coding('Transfer-Encoding: chunked\x7f'), 400],
  ['a bare CR behind', coding('Transfer-Encoding: chunked\r'), 400],
  ['a bare CR before', coding('Transfer-Encoding:\rchunked'), 400],
  ['a folded coding', coding('Transfer-Encoding:\r\n chunked'), 400],
  ['a folded coding with a tab', coding('Transfer-Encoding:\r\n\tchunked'), 400],
  ['a space before the colon', coding('Transfer-Encoding : chunked'), 400],
  ['a tab before the colon', coding('Transfer-Encoding\t: chunked'), 400],
  ['a vertical tab before the colon', coding('Transfer-Encoding\x0b: chunked'), 400],
  ['a line that ends before the colon', coding('Transfer-Encoding\r\n : chunked'), 400],
  ['a space before the name', coding(' Transfer-Encoding: chunked'), 400],
  ['a tab before the name', coding('X: y\r\n\tTransfer-Encoding: chunked'), 400],
  ['NUL before the name', coding('\0Transfer-Encoding: chunked'), 400],
  ['a space in the name', coding('Transfer Encoding: chunked'), 400],
  ['a bare LF before the name', coding('X: y\nTransfer-Encoding: chunked'), 400],
  ['a bare CR before the name', coding('X: y\rTransfer-Encoding: chunked'), 400],
  ['an underscore in the name', coding('Transfer_Encoding: chunked'), 411],
  ['another name', coding('Content-Encoding: chunked'), 411],
  ['chunked from HTTP/1.0', coding('Transfer-Encoding: chunked').replace('1.1', '1.0'), 400],
  [
    'chunked from HTTP/1.0 that persists',
    coding('Connection: keep-alive\r\nTransfer-Encoding: chunked').replace('1.1', '1.0'),
    400,
  ],
];

const CHUNKS: Refused[] = [
  ['no size', chunked('\r\nabc\r\n0\r\n\r\n'), 400],
  ['a size that is no number', chunked(`xyz\r\nabc\r\n0\r\n\r\n`), 400],
  ['a plus before a size', chunked('+3\r\nabc\r\n0\r\n\r\n'), 400],
  ['a minus before the last size', chunked('3\r\nabc\r\n-0\r\n\r\n'), 400],
  ['a prefix before a size', chunked('0x3\r\nabc\r\n0\r\n\r\n'), 400],
  ['an underscore in a size', chunked('0_3\r\nabc\r\n0\r\n\r\n'), 400],
  ['a space before a size', chunked(' 3\r\nabc\r\n0\r\n\r\n'), 400],
  ['a space behind a size', chunked('3 \r\nabc\r\n0\r\n\r\n'), 400],
  ['a point in a size', chunked('3.0\r\nabc\r\n0\r\n\r\n'), 400],
  ['a size with a tail', chunked('3 what\r\nabc\r\n0\r\n\r\n'), 400],
  ['a size of seventeen digits', chunked('00000000000000003\r\nabc\r\n0\r\n\r\n'), 400],
  ['a size that wraps round 32 bits', chunked('100000003\r\nabc\r\n0\r\n\r\n'), 413],
  ['a size that wraps round 64 bits', chunked('10000000000000003\r\nabc\r\n0\r\n\r\n'), 413],
  ['a size that is negative in 32 bits', chunked('fffffffd\r\nabc\r\n0\r\n\r\n'), 413],
  ['a bare LF behind a size', chunked(`3\nabc\r\n0\r\n\r\n`), 400],
  ['a bare CR behind a size', chunked('3\rabc\r\n0\r\n\r\n'), 400],
  ['CR CR LF behind a size', chunked('3\r\r\nabc\r\n0\r\n\r\n'), 400],
  ['a bare LF behind the last size', chunked('3\r\nabc\r\n0\n\n'), 400],
  ['a bare LF behind the data', chunked('3\r\nabc\n0\r\n\r\n'), 400],
  ['two other bytes behind the data', chunked('3\r\nabcXX0\r\n\r\n'), 400],
  ['data that is longer than its size', chunked(`3\r\nabcdef\r\n0\r\n\r\n`), 400],
  ['data that is shorter than its size', chunked(`6\r\nabc\r\n0\r\n\r\n`), 400],
  ['an empty line before the first size', chunked('\r\n3\r\nabc\r\n0\r\n\r\n'), 400],
  ['an empty line between chunks', chunked('3\r\nabc\r\n\r\n0\r\n\r\n'), 400],
  ['a request in the place of a chunk', chunked(HIDDEN), 400],
  ['a request in the place of the trailer', chunked(`3\r\nabc\r\n0\r\n${HIDDEN}`), 400],
  ['a bare LF in an extension', chunked(`3;a\n${HIDDEN}`), 400],
  ['a bare CR in an extension', chunked('3;a\rb\r\nabc\r\n0\r\n\r\n'), 400],
  ['a line end in quotes', chunked(`3;a="\r\n${HIDDEN}"\r\nabc\r\n0\r\n\r\n`), 400],
  ['a bare CR before the semicolon', chunked('3\r;a\r\nabc\r\n0\r\n\r\n'), 400],
  ['an extension without a name', chunked('3;\r\nabc\r\n0\r\n\r\n'), 400],
  ['extensions without an end', chunked(`3;${'a'.repeat(5000)}\r\nabc\r\n0\r\n\r\n`), 413],
  ['a length in the trailer', chunked('0\r\nContent-Length: 60\r\n\r\n'), 400],
  ['a coding in the trailer', chunked('0\r\nTransfer-Encoding: chunked\r\n\r\n'), 400],
  ['a folded trailer', chunked('0\r\nX: y\r\n z\r\n\r\n'), 400],
  ['a trailer with a space before the colon', chunked('0\r\nX : y\r\n\r\n'), 400],
  ['a trailer that ends in a bare LF', chunked('0\r\nX: y\n\r\n'), 400],
  ['a body that ends in a bare LF', chunked('0\r\n\n'), 400],
  ['a trailer without an end', chunked(`0\r\nX: ${'y'.repeat(5000)}\r\n\r\n`), 431],
];

/** Bodies where none belongs, and requests that are refused for what they ask: what they bring along is not the next request. */
const BODIES: Refused[] = [
  ['GET with a body', head('GET /', `Content-Length: ${HIDDEN.length}`), 400],
  ['GET with a chunked body', `${head('GET /', 'Transfer-Encoding: chunked')}0\r\n\r\n`, 400],
  ['HEAD with a body', head('HEAD /', `Content-Length: ${HIDDEN.length}`), 400],
  ['OPTIONS with a body', head('OPTIONS /', `Content-Length: ${HIDDEN.length}`), 400],
  ['OPTIONS of the server with a body', head('OPTIONS *', `Content-Length: ${HIDDEN.length}`), 400],
  ['a poll with a body', head('GET /v1/poll?channel=a', `Content-Length: ${HIDDEN.length}`), 400],
  ['a classic poll with a body', head('GET /a.js', `Content-Length: ${HIDDEN.length}`), 400],
  ['an event stream with a chunked body', head('GET /v1/sse?channel=a', 'Transfer-Encoding: chunked'), 400],
  ['DELETE', head('DELETE /echo'), 405],
  ['a method in small letters', head('post /echo'), 405],
  ['a path that is not there', head('POST /no', `Content-Length: ${HIDDEN.length}`), 404],
  ['a method that the path does not take', head('GET /v1/publish'), 405],
  ['a type that is not JSON', head('POST /v1/publish', `Content-Type: text/plain\r\nContent-Length: 60`), 415],
  ['no length', head('POST /v1/publish', 'Content-Type: application/json'), 411],
  ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n', 400],
  ['a handshake with a body', upgrade('GET /echo', `${KEY}\r\n${VERSION}\r\nContent-Length: ${HIDDEN.length}`), 400],
  ['a handshake of another version', upgrade('GET /echo', `${KEY}\r\nSec-WebSocket-Version: 14`), 426],
  ['a handshake without a version', upgrade('GET /echo', KEY), 400],
  ['a handshake without a key', upgrade('GET /echo', VERSION), 400],
  ['a handshake with a short key', upgrade('GET /echo', `Sec-WebSocket-Key: c2hvcnQ=\r\n${VERSION}`), 400],
  ['no handshake', head('GET /echo'), 426],
  ['an upgrade to HTTP/2', head('GET /echo', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c'), 426],
];

const HEADS: Refused[] = [
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['HEAD without Host', 'HEAD / HTTP/1.1\r\n\r\n', 400],
  ['HEAD with a space before a colon', head('HEAD /', 'X : y'), 400],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['a Host with a comma', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
  ['a Host with user information', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400],
  ['a bare LF behind the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 400],
  ['a bare LF behind a field', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', 400],
  ['a bare LF at the end', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 400],
  ['a request behind a bare LF in a field', `GET / HTTP/1.1\r\nHost: a\r\nX: y\n\n${HIDDEN}`, 400],
  ['a request behind bare CRs in a field', `GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r${HIDDEN}`, 400],
  ['a field before the first one', 'GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n', 400],
  ['a line without a colon', 'GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n', 400],
  ['a folded line', head('GET /', 'X: y\r\n z'), 400],
  ['HTTP/0.9', 'GET /\r\n', 400],
  ['HTTP/1.10', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['a request target that is https', head('GET https://a/'), 400],
  ['a request target with a fragment', head('GET /#x'), 400],
  ['a request line with two spaces', head('GET  /'), 400],
  ['a request line with a tab', head('GET\t/'), 400],
  ['a request line that never ends', `GET /${'a'.repeat(9000)}`, 414],
  ['a field that never ends', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(9000)}`, 431],
];

export const REFUSED: readonly Refused[] = [...LENGTHS, ...CODINGS, ...CHUNKS, ...BODIES, ...HEADS];

const BYTES = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
const abc = post('Content-Length: 3');

export const SERVED: readonly Served[] = [
  ['a request in a body', post(`Content-Length: ${HIDDEN.length}`, HIDDEN), [`200 ${HIDDEN}`]],
  ['two requests in a body', post(`Content-Length: ${2 * HIDDEN.length}`, HIDDEN + HIDDEN), [`200 ${HIDDEN}${HIDDEN}`]],
  ['a request in a chunk', chunked(`${hex(HIDDEN)}\r\n${HIDDEN}\r\n0\r\n\r\n`), [`200 ${HIDDEN}`]],
  [
    'a request over two chunks',
    chunked(`7\r\n${HIDDEN.slice(0, 7)}\r\n${hex(HIDDEN.slice(7))}\r\n${HIDDEN.slice(7)}\r\n0\r\n\r\n`),
    [`200 ${HIDDEN}`],
  ],
  ['what looks like the last chunk in a chunk', chunked(`5\r\n0\r\n\r\n\r\n0\r\n\r\n`), ['200 0\r\n\r\n']],
  [
    'what looks like chunks in a body',
    post('Content-Length: 13', '3\r\nabc\r\n0\r\n\r\n'),
    ['200 3\r\nabc\r\n0\r\n\r\n'],
  ],
  ['every byte in a body', post('Content-Length: 256', BYTES), [`200 ${BYTES}`]],
  ['every byte in a chunk', chunked(`100\r\n${BYTES}\r\n0\r\n\r\n`), [`200 ${BYTES}`]],
  ['a request in an extension', chunked(`3;a="POST /echo HTTP/1.1"\r\nabc\r\n0\r\n\r\n`), ['200 abc']],
  ['a request line in a trailer', chunked(`3\r\nabc\r\n0\r\nX: POST /echo HTTP/1.1\r\n\r\n`), ['200 abc']],
  ['a request line in a field', post('X: POST /echo HTTP/1.1\r\nContent-Length: 3'), ['200 abc']],
  ['an empty body, then a request', post('Content-Length: 0', HIDDEN), ['200 ', '200 hidden']],
  ['no chunk, then a request', chunked(`0\r\n\r\n${HIDDEN}`), ['200 ', '200 hidden']],
  ['three requests at once', abc + HIDDEN + abc, ['200 abc', '200 hidden', '200 abc']],
  ['forms in turn', abc + chunked('1\r\nx\r\n0\r\n\r\n') + abc, ['200 abc', '200 x', '200 abc']],
  ['thirty requests at once', abc.repeat(30), Array<string>(30).fill('200 abc')],
  ['an empty line between requests', `${abc}\r\n${abc}`, ['200 abc', '200 abc']],
  ['methods in turn', head('OPTIONS /') + head('HEAD /') + head('GET /') + abc, ['204', 'HEAD 200', '200', '200 abc']],
  ['leading zeros of a length', length('0003'), ['200 abc']],
  ['white space around a length', length(' \t3 \t'), ['200 abc']],
  ['leading zeros of a size', chunked('0003\r\nabc\r\n0000\r\n\r\n'), ['200 abc']],
  ['capitals of a size', chunked(`1A\r\n${'x'.repeat(26)}\r\n0\r\n\r\n`), [`200 ${'x'.repeat(26)}`]],
  ['capitals of a coding', post('TRANSFER-ENCODING: CHUNKED', '3\r\nabc\r\n0\r\n\r\n'), ['200 abc']],
  ['white space around a coding', post('Transfer-Encoding: \tchunked \t', '3\r\nabc\r\n0\r\n\r\n'), ['200 abc']],
  ['an underscore in another length', post('Content_Length: 0\r\nContent-Length: 3'), ['200 abc']],
  ['an underscore in a coding', post('Transfer_Encoding: chunked\r\nContent-Length: 3'), ['200 abc']],
  [
    'names that begin like lengths',
    post('Content-Length-X: 0\r\nX-Content-Length: 0\r\nContent-Length: 3'),
    ['200 abc'],
  ],
  ['names that begin like codings', post('X-Transfer-Encoding: chunked\r\nContent-Length: 3'), ['200 abc']],
  ['a length that Connection names', post('Connection: content-length\r\nContent-Length: 3'), ['200 abc']],
  ['another method in a field', post('X-HTTP-Method-Override: GET\r\nContent-Length: 3'), ['200 abc']],
  ['an upgrade to HTTP/2 is ignored', post('Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3'), ['200 abc']],
  [
    'a WebSocket by POST is ignored',
    `${upgrade('POST /echo', `${KEY}\r\n${VERSION}\r\nContent-Length: 3`)}abc`,
    ['200 abc'],
  ],
  ['an absolute target', abc.replace('/echo', 'http://b/echo'), ['200 abc']],
  ['a publication that is refused', publish('{"channel":"no","data":1}') + abc, ['403', '200 abc']],
  ['a publication that is no JSON', publish(HIDDEN) + abc, ['400', '200 abc']],
  ['HTTP/1.0 that persists', post('Connection: keep-alive\r\nContent-Length: 3').replace('1.1', '1.0'), ['200 abc']],
  ['HTTP/1.0', abc.replace('1.1', '1.0'), ['200 abc'], 'closes'],
  [
    'HTTP/1.0 that expects',
    post('Expect: 100-continue\r\nContent-Length: 3').replace('1.1', '1.0'),
    ['200 abc'],
    'closes',
  ],
  ['close', post('Connection: close\r\nContent-Length: 3'), ['200 abc'], 'closes'],
  ['close in a list', post('Connection: x, Close\r\nContent-Length: 3'), ['200 abc'], 'closes'],
  [
    'close of a chunked request',
    post('Connection: close\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    ['200 '],
    'closes',
  ],
  ['close of the second one', abc + post('Connection: close\r\nContent-Length: 3'), ['200 abc', '200 abc'], 'closes'],
  ['close of GET', head('GET /', 'Connection: close'), ['200'], 'closes'],
  ['a byte behind an empty body belongs to the next method', post('Content-Length: 0', 'X'), ['200 ', '400'], 'closes'],
  ['a length that is a byte short', post('Content-Length: 2'), ['200 ab', '400'], 'closes'],
];

function publish(body: string): string {
  return head('POST /v1/publish', `Content-Type: application/json\r\nContent-Length: ${body.length}`) + body;
}
