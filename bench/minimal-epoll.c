/*
 * The reference of the bench: the least that a C program must do to hold long-polls and answer them all.
 *
 * It knows no ids, limits, timers or HTTP beyond the blank line that ends a head. What it spends is the floor that the
 * kernel sets: accept4 and epoll_ctl to accept, one recv to read the request, and for the answer one send and one close.
 * A connection is 16 bytes in an array indexed by its descriptor; those that wait are a list linked by descriptors.
 *
 * It prints its port, answers every waiting connection with whatever arrives on its standard input, and ends when that
 * ends, so it cannot outlive the bench.   cc -O2 -Wall -o minimal-epoll minimal-epoll.c && ./minimal-epoll
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1 << 20, EVENTS_MAX = 1024, MESSAGE_BYTES_MAX = 4096, BACKLOG = 4096 };
enum { READING, WAITING };

struct connection {
  uint32_t tail; /* the last four bytes of the head so far: a blank line may be split anywhere */
  int32_t next, previous; /* in the list of the waiting; 0 ends it (descriptor 0 is the standard input) */
  uint32_t state;
};
static struct connection connections[CONNECTIONS_MAX];
static int32_t first_waiting;
static int epoll, listener;

static void check(int result, const char *what) {
  if (result >= 0) return;
  perror(what);
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
  if (c->state == WAITING) {
    if (c->previous) connections[c->previous].next = c->next;
    else first_waiting = c->next;
    if (c->next) connections[c->next].previous = c->previous;
  }
  close(fd);
}

static void receive(int fd) {
  static uint8_t bytes[16384];
  struct connection *c = &connections[fd];
  ssize_t length = recv(fd, bytes, sizeof bytes, 0);
  if (length == 0 || (length < 0 && errno != EAGAIN)) end(fd);
  for (ssize_t i = 0; c->state == READING && i < length; i++) {
    c->tail = c->tail << 8 | bytes[i];
    if (c->tail != 0x0d0a0d0a) continue;
    c->state = WAITING;
    c->next = first_waiting;
    if (first_waiting) connections[first_waiting].previous = fd;
    first_waiting = fd;
  }
}

static void fan_out(void) {
  static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zd\r\nConnection: close\r\n\r\n%.*s";
  static char message[MESSAGE_BYTES_MAX], response[MESSAGE_BYTES_MAX + 256];
  ssize_t length = read(STDIN_FILENO, message, sizeof message);
  check((int)length, "read");
  if (length == 0) exit(0);
  int total = snprintf(response, sizeof response, head, length, (int)length, message);
  for (int fd = first_waiting, next; fd; fd = next) {
    next = connections[fd].next;
    send(fd, response, (size_t)total, MSG_NOSIGNAL); /* it fits the empty socket buffer, or the peer has gone */
    close(fd);
  }
  first_waiting = 0;
}

int main(void) {
  static struct epoll_event events[EVENTS_MAX];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int on = 1;
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
      else if (fd == STDIN_FILENO) fan_out();
      else receive(fd);
    }
  }
}
