/*
 * The reference of bench:fan-out: the least that a C program must do to hold event streams or WebSockets on numbered
 * channels and send each publication to those who listen.
 *
 * It knows no limits, timers, log or HTTP beyond `channel=c<number>` in a head that arrives in one piece. What it spends is the
 * floor that the kernel sets: accept4 and epoll_ctl to accept, one recv to read the request, one send to greet, and then one
 * send(2) for each receiver of a publication, which is formatted once. Events have the form and the length of MegaComet's.
 * A connection is 16 bytes in an array indexed by its descriptor; those on a channel are a list linked by descriptors.
 *
 * It prints its port, publishes each line `c<number> <data>` of its standard input, and ends when that ends, so it cannot outlive
 * the bench.   cc -O2 -Wall -o minimal-stream minimal-stream.c && ./minimal-stream sse|websocket
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1 << 20, CHANNELS_MAX = 1 << 20, EVENTS_MAX = 1024, EVENT_BYTES_MAX = 4096, BACKLOG = 4096 };
enum { READING, LISTENING };

struct connection {
  int32_t channel;
  int32_t next, previous; /* on the same channel; 0 ends the list (descriptor 0 is the standard input) */
  uint32_t state;
};
static struct connection connections[CONNECTIONS_MAX];
static int32_t first_listening[CHANNELS_MAX];
static int epoll, listener, websocket;
static uint32_t sequence;

static const char epoch[] = "0123456789ab";
static const char stream_head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
/* The answer to the key of RFC 6455 section 1.3, which is the bench's. */
static const char upgrade_head[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void check(int result, const char *what) {
  if (result >= 0) return;
  perror(what);
  exit(1);
}

static void refuse(const char *what) {
  fprintf(stderr, "minimal-stream: %s\n", what);
  exit(1);
}

static void watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void accept_all(void) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    connections[fd] = (struct connection){.state = READING};
    watch(fd);
  }
  if (errno != EAGAIN) check(fd, "accept4");
}

static void end(int fd) {
  struct connection *c = &connections[fd];
  if (c->state == LISTENING) {
    if (c->previous) connections[c->previous].next = c->next;
    else first_listening[c->channel] = c->next;
    if (c->next) connections[c->next].previous = c->previous;
  }
  close(fd);
}

/* Puts the header of a text frame before the payload (RFC 6455 section 5.2); returns the length of both. */
static size_t frame(char *to, const char *payload, size_t length) {
  size_t header = 2;
  to[0] = (char)0x81;
  if (length < 126) {
    to[1] = (char)length;
  } else {
    to[1] = 126;
    to[2] = (char)(length >> 8);
    to[3] = (char)length;
    header = 4;
  }
  memcpy(to + header, payload, length);
  return header + length;
}

/* An event fits the empty socket buffer, or the peer has gone. */
static void send_whole(int fd, const char *bytes, size_t length) {
  ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
  if (sent >= 0 ? (size_t)sent < length : errno == EAGAIN) refuse("a client does not read");
}

static void greet(int fd, int channel) {
  static char greeting[1024], payload[256];
  int length;
  if (websocket) {
    int bytes = snprintf(payload, sizeof payload, "{\"type\":\"subscribed\",\"channels\":[\"c%d\"],\"cursor\":\"%s-%u\"}", channel,
                         epoch, sequence);
    strcpy(greeting, upgrade_head);
    length = (int)(sizeof upgrade_head - 1 + frame(greeting + sizeof upgrade_head - 1, payload, (size_t)bytes));
  } else {
    length = snprintf(greeting, sizeof greeting, "%sretry: 3000\n\nevent: subscribed\nid: %s-%u\ndata: {\"cursor\":\"%s-%u\"}\n\n",
                      stream_head, epoch, sequence, epoch, sequence);
  }
  send_whole(fd, greeting, (size_t)length);
}

static void receive(int fd) {
  static char bytes[16384 + 1];
  struct connection *c = &connections[fd];
  ssize_t length = recv(fd, bytes, sizeof bytes - 1, 0);
  if (length == 0 || (length < 0 && errno != EAGAIN)) end(fd);
  if (length <= 0 || c->state != READING) return;
  bytes[length] = 0;
  char *name = strstr(bytes, "?channel=c");
  if (name == NULL || length < 4 || strcmp(bytes + length - 4, "\r\n\r\n") != 0) refuse("not a whole request");
  c->channel = (int32_t)strtol(name + 10, NULL, 10) % CHANNELS_MAX;
  c->state = LISTENING;
  c->next = first_listening[c->channel];
  if (c->next) connections[c->next].previous = fd;
  first_listening[c->channel] = fd;
  greet(fd, c->channel);
}

static void publish(const char *line) {
  static const char stream_form[] = "id: %s-%u\ndata: {\"channel\":\"c%d\",\"data\":\"%s\",\"time\":%lld}\n\n";
  static const char frame_form[] =
      "{\"type\":\"message\",\"channel\":\"c%3$d\",\"cursor\":\"%1$s-%2$u\",\"data\":\"%4$s\",\"time\":%5$lld}";
  static char text[EVENT_BYTES_MAX], framed[EVENT_BYTES_MAX + 4];
  struct timespec now;
  char *data;
  int channel = (int)strtol(line + 1, &data, 10) % CHANNELS_MAX;
  clock_gettime(CLOCK_REALTIME, &now);
  long long time_ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000;
  size_t length = (size_t)snprintf(text, sizeof text, websocket ? frame_form : stream_form, epoch, ++sequence, channel, data + 1,
                                   time_ms);
  const char *event = text;
  if (websocket) {
    length = frame(framed, text, length);
    event = framed;
  }
  for (int fd = first_listening[channel]; fd; fd = connections[fd].next) send_whole(fd, event, length);
}

static void read_lines(void) {
  static char bytes[1 << 17];
  static size_t kept;
  ssize_t length = read(STDIN_FILENO, bytes + kept, sizeof bytes - kept);
  check((int)length, "read");
  if (length == 0) exit(0);
  char *line = bytes, *limit = bytes + kept + length, *newline;
  while ((newline = memchr(line, '\n', (size_t)(limit - line))) != NULL) {
    *newline = 0;
    publish(line);
    line = newline + 1;
  }
  kept = (size_t)(limit - line);
  memmove(bytes, line, kept);
}

int main(int argc, char **argv) {
  static struct epoll_event events[EVENTS_MAX];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int on = 1;
  websocket = argc > 1 && strcmp(argv[1], "websocket") == 0;
  check(epoll = epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  check(listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  check(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
  check(bind(listener, (struct sockaddr *)&address, length), "bind");
  check(listen(listener, BACKLOG), "listen");
  check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
  watch(listener);
  watch(STDIN_FILENO);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR) check(count, "epoll_wait");
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) accept_all();
      else if (fd == STDIN_FILENO) read_lines();
      else receive(fd);
    }
  }
}
