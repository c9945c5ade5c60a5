/**
 * Errors of the API, as clients are told: `{"error": {"code", "message", "field"?}}`, whatever went wrong and whoever found it:
 * a route, the schemas, Fastify, or Node's parser before there was a request.
 */

import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import { API_BODY_BYTES_MAX } from '../limits.js';
import { LogError } from '../log/log.js';
import { UnansweredError } from '../manager/inquiries.js';
import type { Logger } from '../manager/logger.js';
import { FORMAT_RULES, type FormatName } from './schemas.js';

const SHOWN_CHARACTERS = 100;

/** An error that the client is told. */
export class ApiError extends Error {
  readonly statusCode: number;
  readonly code: string;
  /** The field of the request that is to blame. */
  readonly field: string | undefined;
  /** Header fields of the answer. */
  readonly headers: Record<string, string>;

  constructor(
    statusCode: number,
    code: string,
    message: string,
    { field, headers = {} }: { field?: string | undefined; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
    this.field = field;
    this.headers = headers;
  }
}

/** A 400 that names the field. */
export function invalid(field: string, message: string): ApiError {
  return new ApiError(400, 'invalid', message, { field });
}

/** Answers every error of a request in the API's form. */
export function addErrorAnswers(app: FastifyInstance, logger: Logger): void {
  app.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const answer = toApiError(error);
    if (answer.statusCode === 500) logger.error('request failed', { url: request.url, stack: error.stack });
    // What is left of a body that was refused unread would be taken for the next request.
    if (answer.statusCode === 413) reply.header('connection', 'close');
    reply.status(answer.statusCode).headers(answer.headers);
    return errorBody(answer);
  });
}

/** Answers what Fastify refuses before it has found a route. */
export function answerFrameworkError(error: FastifyError, reply: FastifyReply): void {
  void reply.status(error.statusCode ?? 400).send({ error: { code: 'invalid', message: error.message } });
}

/** Answers what is no HTTP request, or came too slowly or too large for Node's parser, and closes. */
export function refuseConnection({ code }: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const answers: Record<string, [status: string, code: string]> = {
    ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'timeout'],
    HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'too_large'],
  };
  const [status, name] = answers[code ?? ''] ?? ['400 Bad Request', 'invalid'];
  const body = JSON.stringify({ error: { code: name, message: status.slice(4) } });
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close`;
  socket.end(`${head}\r\n\r\n${body}`, () => socket.destroy());
}

function errorBody({ code, message, field }: ApiError): object {
  return { error: { code, message, ...(field !== undefined && { field }) } };
}

function toApiError(error: FastifyError): ApiError {
  if (error instanceof ApiError) return error;
  // The manager says why, in its log; publishers may be strangers to its disks.
  if (error instanceof LogError) {
    return new ApiError(503, 'log_failed', 'the log cannot be written or read now; try again');
  }
  if (error instanceof UnansweredError) {
    return new ApiError(503, 'unavailable', `a worker did not answer (${(error as UnansweredError).code}); try again`);
  }
  if (error.validation !== undefined) return validationError(error);
  switch (error.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ApiError(415, 'unsupported_media_type', 'the content type must be application/json');
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ApiError(413, 'too_large', `a request must have at most ${API_BODY_BYTES_MAX} bytes`);
  }
  const statusCode = error.statusCode ?? 500;
  if (statusCode >= 500) return new ApiError(500, 'internal', 'the manager failed; its log says why');
  const message = error instanceof SyntaxError ? `no JSON: ${error.message}` : error.message;
  return new ApiError(statusCode, 'invalid', message);
}

/** The first thing that a schema found, in words, with the name of the field. */
function validationError({ validation, validationContext }: FastifyError): ApiError {
  const problem = validation![0];
  const params = problem.params as { missingProperty?: string; additionalProperty?: string; format?: FormatName };
  const at = fieldName(problem.instancePath);
  const inner = params.missingProperty ?? (params.additionalProperty && shortened(params.additionalProperty));
  const field = inner === undefined ? at : at === '' ? inner : `${at}.${inner}`;
  const subject = field === '' ? `the ${validationContext === 'body' ? 'body' : 'request'}` : field;
  let message = `${subject} ${problem.message}`;
  if (params.missingProperty !== undefined) message = `${subject} is missing`;
  else if (params.additionalProperty !== undefined) message = `${subject} is not known`;
  else if (problem.keyword === 'format') message = `${subject} must be ${FORMAT_RULES[params.format!]}`;
  return new ApiError(400, 'invalid', message, { field: field === '' ? undefined : field });
}

/** Words of a stranger's, as much of them as an answer needs to be understood. */
export function shortened(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}

/** `/3/channel` of a JSON pointer is `[3].channel`. */
function fieldName(pointer: string): string {
  return pointer
    .replace(/\/(\d+)/g, '[$1]')
    .replace(/^\//, '')
    .replace(/\//g, '.');
}
