/* Sockets: of the Internet within the machine, and AF_UNIX. */
#include "cases.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}
#define NAME(a) (struct sockaddr *)&(a), sizeof(a)

/* A listener on loopback, and where it is. */
static int listener(struct sockaddr_in *at) {
  socklen_t size = sizeof *at;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  *at = loopback(0);
  if (bind(fd, NAME(*at)) != 0 || listen(fd, 5) != 0 || getsockname(fd, (struct sockaddr *)at, &size) != 0)
    say("no listener: %s", error_name(errno));
  return fd;
}
/* Both ends of a connection. */
static void connection(int ends[2]) {
  struct sockaddr_in at;
  int l = listener(&at);
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(ends[0], NAME(at)) != 0) say("no connection: %s", error_name(errno));
  ends[1] = accept(l, NULL, NULL);
  if (ends[1] < 0) say("not accepted: %s", error_name(errno));
  close(l);
}
static void close_both(int ends[2]) {
  close(ends[0]);
  close(ends[1]);
}

CASE(socket, outcomes) {
  result("family", socket(9999, SOCK_STREAM, 0));
  result("protocol", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  say("nonblock=%d cloexec=%d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, fcntl(fd, F_GETFD));
  close(fd);
}
CASE(bind, outcomes) {
  struct sockaddr_in at, other = loopback(0), bad = loopback(0);
  int l = listener(&at), fd = socket(AF_INET, SOCK_STREAM, 0);
  result("in use", bind(fd, NAME(at)));
  result("size", bind(fd, (struct sockaddr *)&other, 4));
  bad.sin_family = AF_INET6;
  result("family", bind(fd, NAME(bad)));
  bad = loopback(0);
  bad.sin_addr.s_addr = htonl(0x01020304);
  result("not ours", bind(fd, NAME(bad)));
  result("good", bind(fd, NAME(other)));
  result("twice", bind(fd, NAME(other)));
  result("file", bind(0, NAME(other)));
  result("closed", bind(-1, NAME(other)));
  close(fd);
  close(l);
}
CASE(listen, outcomes) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 0;
  socklen_t size = sizeof on;
  result("datagram", listen(fd, 1));
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  result("unbound", listen(fd, 1));
  getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size);
  say("listens=%d", on);
  close(fd);
}
CASE(accept, outcomes) {
  struct sockaddr_in at, peer, own;
  socklen_t size = sizeof peer;
  int l = listener(&at), fd = socket(AF_INET, SOCK_STREAM, 0);
  result("not listening", accept(fd, NULL, NULL));
  fcntl(l, F_SETFL, O_NONBLOCK);
  result("none", accept(l, NULL, NULL));
  connect(fd, NAME(at));
  fcntl(l, F_SETFL, 0);
  int a = accept(l, (struct sockaddr *)&peer, &size);
  say("size=%d", (int)(size == sizeof peer));
  getsockname(fd, (struct sockaddr *)&own, &size);
  say("peer=%d", own.sin_port == peer.sin_port && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  say("inherits=%d", (fcntl(a, F_GETFL) & O_NONBLOCK) != 0);
  close(a);
  close(fd);
  close(l);
}
CASE(connect, outcomes) {
  struct sockaddr_in at;
  int l = listener(&at), fd = socket(AF_INET, SOCK_STREAM, 0), ends[2];
  close(l);
  result("refused", connect(fd, NAME(at)));
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  at.sin_family = AF_INET6;
  result("family", connect(fd, NAME(at)));
  close(fd);
  connection(ends);
  at = loopback(1);
  result("again", connect(ends[0], NAME(at)));
  close_both(ends);
}
CASE(send, stream) {
  int ends[2];
  char b[10] = "";
  connection(ends);
  result("send", send(ends[0], "hello", 5, 0));
  result("peek", recv(ends[1], b, 2, MSG_PEEK));
  result("all", recv(ends[1], b, 5, MSG_WAITALL));
  say("%s", b);
  result("nothing", recv(ends[1], b, 5, MSG_DONTWAIT));
  close_both(ends);
}
CASE(send, not_connected) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  signal(SIGPIPE, SIG_IGN);
  result("send", send(fd, "x", 1, MSG_NOSIGNAL));
  char b;
  result("recv", recv(fd, &b, 1, 0));
  close(fd);
}
CASE(recv, end) {
  int ends[2];
  char b[4];
  connection(ends);
  send(ends[0], "ab", 2, 0);
  shutdown(ends[0], SHUT_WR);
  result("waitall", recv(ends[1], b, 4, MSG_WAITALL));
  result("end", recv(ends[1], b, 4, 0));
  result("after", send(ends[0], "x", 1, MSG_NOSIGNAL));
  result("back", send(ends[1], "x", 1, 0));
  result("got", recv(ends[0], b, 4, 0));
  close_both(ends);
}
CASE(recv, reset) {
  int ends[2];
  char b;
  struct linger hard = {1, 0};
  connection(ends);
  setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(ends[0]);
  pause_ms(20);
  result("recv", recv(ends[1], &b, 1, 0));
  result("again", recv(ends[1], &b, 1, 0));
  result("send", send(ends[1], "x", 1, MSG_NOSIGNAL));
  close(ends[1]);
}
CASE(shutdown, outcomes) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), ends[2];
  char b;
  result("not connected", shutdown(fd, SHUT_RD));
  close(fd);
  connection(ends);
  result("how", shutdown(ends[0], 77));
  result("read", shutdown(ends[0], SHUT_RD));
  result("recv", recv(ends[0], &b, 1, 0));
  close_both(ends);
  result("file", shutdown(0, SHUT_RD));
}
CASE(getpeername, outcomes) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), ends[2];
  struct sockaddr_in a, b;
  socklen_t size = sizeof a;
  result("none", getpeername(fd, (struct sockaddr *)&a, &size));
  close(fd);
  connection(ends);
  getpeername(ends[0], (struct sockaddr *)&a, &size);
  getsockname(ends[1], (struct sockaddr *)&b, &size);
  say("same=%d", a.sin_port == b.sin_port);
  size = 2;
  result("cut", getpeername(ends[0], (struct sockaddr *)&a, &size));
  say("size=%d", (int)(size == sizeof a));
  close_both(ends);
}
CASE(setsockopt, outcomes) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1, n = 0;
  socklen_t size = sizeof n;
  struct timeval t = {0, 30000};
  result("reuse", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  result("nodelay", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &n, &size);
  say("nodelay=%d", n);
  result("keepalive", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
  getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &n, &size);
  say("keepalive=%d", n);
  result("size", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 1));
  result("option", setsockopt(fd, SOL_SOCKET, 9999, &on, sizeof on));
  getsockopt(fd, SOL_SOCKET, SO_TYPE, &n, &size);
  say("stream=%d", n == SOCK_STREAM);
  result("timeout", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
  close(fd);
}
CASE(setsockopt, timeout) {
  int ends[2];
  char b;
  struct timeval t = {0, 30000};
  connection(ends);
  setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  long began = now_ms();
  result("recv", recv(ends[0], &b, 1, 0));
  say("waited=%d", now_ms() - began >= 25);
  close_both(ends);
}
CASE(getsockopt, error) {
  struct sockaddr_in at;
  int l = listener(&at), n = -1;
  socklen_t size = sizeof n;
  close(l);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  connect(fd, NAME(at));
  pause_ms(20);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &n, &size);
  code("first", n);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &n, &size);
  code("second", n);
  result("file", getsockopt(0, SOL_SOCKET, SO_ERROR, &n, &size));
  close(fd);
}
CASE(sendto, datagrams) {
  struct sockaddr_in a = loopback(0), from;
  socklen_t size = sizeof a;
  char b[10] = "";
  int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
  bind(one, NAME(a));
  getsockname(one, (struct sockaddr *)&a, &size);
  result("send", sendto(two, "hello", 5, 0, NAME(a)));
  result("peek", recvfrom(one, b, 10, MSG_PEEK, (struct sockaddr *)&from, &size));
  result("cut", recvfrom(one, b, 3, 0, (struct sockaddr *)&from, &size));
  say("%.3s from=%d", b, from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  result("gone", recv(one, b, 10, MSG_DONTWAIT));
  result("empty", sendto(two, "", 0, 0, NAME(a)));
  result("received", recv(one, b, 10, 0));
  result("no address", send(two, "x", 1, 0));
  result("connect", connect(two, NAME(a)));
  result("then", send(two, "x", 1, 0));
  close(one);
  close(two);
}
CASE(connect, datagram_refused) {
  struct sockaddr_in a = loopback(0);
  socklen_t size = sizeof a;
  char b;
  int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
  bind(one, NAME(a));
  getsockname(one, (struct sockaddr *)&a, &size);
  close(one);
  connect(two, NAME(a));
  result("send", send(two, "x", 1, 0));
  pause_ms(20);
  result("recv", recv(two, &b, 1, MSG_DONTWAIT));
  close(two);
}
CASE(sendmsg, pieces) {
  int ends[2];
  char a[3], b[4];
  struct iovec out[] = {{"ab", 2}, {"cde", 3}}, in[] = {{a, 3}, {b, 4}};
  struct msghdr m = {.msg_iov = out, .msg_iovlen = 2}, r = {.msg_iov = in, .msg_iovlen = 2};
  connection(ends);
  result("sendmsg", sendmsg(ends[0], &m, 0));
  result("recvmsg", recvmsg(ends[1], &r, 0));
  say("%.3s %.2s flags=%d", a, b, r.msg_flags);
  close_both(ends);
}
CASE(socketpair, stream) {
  int p[2], n;
  char b[10] = "";
  result("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, p));
  result("write", write(p[0], "hello", 5));
  ioctl(p[1], FIONREAD, &n);
  say("there=%d", n);
  result("peek", recv(p[1], b, 2, MSG_PEEK));
  result("read", read(p[1], b, 10));
  result("back", write(p[1], "x", 1));
  result("got", read(p[0], b, 10));
  close(p[1]);
  result("end", read(p[0], b, 10));
  result("broken", send(p[0], "x", 1, MSG_NOSIGNAL));
  close(p[0]);
  result("internet", socketpair(AF_INET, SOCK_STREAM, 0, p));
}
CASE(socketpair, datagrams) {
  int p[2];
  char b[10];
  socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
  send(p[0], "one", 3, 0);
  send(p[0], "three", 5, 0);
  result("first", recv(p[1], b, 10, 0));
  result("second", recv(p[1], b, 10, 0));
  result("none", recv(p[1], b, 10, MSG_DONTWAIT));
  close(p[1]);
  result("closed", send(p[0], "x", 1, MSG_NOSIGNAL));
  close(p[0]);
}
CASE(bind, unix_name) {
  struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "sock"}, from;
  socklen_t size = sizeof from;
  char b[10];
  int l = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
  result("bind", bind(l, NAME(at)));
  result("in use", bind(other, NAME(at)));
  result("not listening", connect(fd, NAME(at)));
  result("listen", listen(l, 5));
  result("connect", connect(fd, NAME(at)));
  int a = accept(l, (struct sockaddr *)&from, &size);
  say("unnamed=%d", size == offsetof(struct sockaddr_un, sun_path));
  result("send", send(fd, "hi", 2, 0));
  result("recv", recv(a, b, 10, 0));
  size = sizeof from;
  getsockname(a, (struct sockaddr *)&from, &size);
  say("%s", from.sun_path);
  close(a);
  close(fd);
  close(other);
  close(l);
  unlink("sock");
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  result("nobody", connect(fd, NAME(at)));
  close(fd);
}
CASE(inet_pton, texts) {
  unsigned char b[16];
  say("%d %d %d %d", inet_pton(AF_INET, "1.2.3.4", b), inet_pton(AF_INET, "1.2.3", b), inet_pton(AF_INET, "1.2.3.256", b),
      inet_pton(AF_INET6, "1.2.3.4", b));
  say("%d %d %d", inet_pton(AF_INET6, "::1", b), inet_pton(AF_INET6, "::ffff:1.2.3.4", b), inet_pton(AF_INET6, "1::2::3", b));
  result("family", inet_pton(9999, "::1", b));
}
CASE(inet_ntop, texts) {
  char t[INET6_ADDRSTRLEN];
  static const char *const all[] = {"::", "::1", "1:0:0:2::3", "::ffff:1.2.3.4", "fe80::1", "2001:db8::1:0:0:1"};
  unsigned char b[16];
  for (size_t i = 0; i < COUNT(all); ++i) {
    inet_pton(AF_INET6, all[i], b);
    say("%s", inet_ntop(AF_INET6, b, t, sizeof t));
  }
  say("small=%s", inet_ntop(AF_INET6, b, t, 4) == NULL ? error_name(errno) : "?");
  say("family=%s", inet_ntop(9999, b, t, sizeof t) == NULL ? error_name(errno) : "?");
}
CASE(inet_addr, texts) {
  static const char *const all[] = {"1.2.3.4", "1.2.3", "1.2", "16909060", "0x7f.1", "010.1.1.1", "1.2.3.4.5", "1.2.3.256", "x"};
  for (size_t i = 0; i < COUNT(all); ++i) say("%08x", (unsigned)ntohl(inet_addr(all[i])));
}
CASE(getaddrinfo, literals) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *r;
  struct sockaddr_in a;
  say("%d", getaddrinfo("127.0.0.1", "80", &hints, &r));
  memcpy(&a, r->ai_addr, sizeof a);
  say("port=%d tcp=%d one=%d", ntohs(a.sin_port), r->ai_protocol == IPPROTO_TCP, r->ai_next == NULL);
  freeaddrinfo(r);
  say("named=%d", getaddrinfo("127.0.0.1", "http", &hints, &r));
  memcpy(&a, r->ai_addr, sizeof a);
  say("port=%d", ntohs(a.sin_port));
  freeaddrinfo(r);
  hints.ai_flags = AI_NUMERICHOST;
  say("name=%d", getaddrinfo("localhost", "80", &hints, &r) == EAI_NONAME);
  say("service=%d", getaddrinfo("127.0.0.1", "no-such", &hints, &r) == EAI_SERVICE);
  say("nothing=%d", getaddrinfo(NULL, NULL, &hints, &r) == EAI_NONAME);
  hints.ai_family = 9999;
  say("family=%d", getaddrinfo("127.0.0.1", "80", &hints, &r) == EAI_FAMILY);
}
CASE(getnameinfo, numeric) {
  struct sockaddr_in a = loopback(80);
  char host[50], service[20];
  say("%d", getnameinfo(NAME(a), host, sizeof host, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV));
  say("%s %s", host, service);
  getnameinfo(NAME(a), NULL, 0, service, sizeof service, 0);
  say("%s", service);
  say("small=%d", getnameinfo(NAME(a), host, 3, NULL, 0, NI_NUMERICHOST) == EAI_OVERFLOW);
}
CASE(getnameinfo, zone) {
  char text[60] = "fe80::1%", host[60];
  if_indextoname(1, text + strlen(text));
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *r;
  say("%d", getaddrinfo(text, "80", &hints, &r));
  say("scope=%u", ((struct sockaddr_in6 *)r->ai_addr)->sin6_scope_id);
  say("%d", getnameinfo(r->ai_addr, r->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST));
  say("same=%d", strcmp(text, host) == 0);
  freeaddrinfo(r);
  say("number=%d", getaddrinfo("fe80::1%1", "80", &hints, &r));
  say("scope=%u", ((struct sockaddr_in6 *)r->ai_addr)->sin6_scope_id);
  freeaddrinfo(r);
  say("unknown=%d", getaddrinfo("fe80::1%nowhere", "80", &hints, &r) == EAI_NONAME);
  say("not local=%d", getaddrinfo("127.0.0.1%1", "80", &hints, &r) == EAI_NONAME);
}

CASES(sockets, ENTRY(socket, outcomes), ENTRY(bind, outcomes), ENTRY(bind, unix_name), ENTRY(listen, outcomes),
      ENTRY(accept, outcomes), ENTRY(connect, outcomes), ENTRY(connect, datagram_refused), ENTRY(send, stream),
      ENTRY(send, not_connected), ENTRY(recv, end), ENTRY(recv, reset), ENTRY(shutdown, outcomes),
      ENTRY(getpeername, outcomes), ENTRY(setsockopt, outcomes), ENTRY(setsockopt, timeout), ENTRY(getsockopt, error),
      ENTRY(sendto, datagrams), ENTRY(sendmsg, pieces), ENTRY(socketpair, stream), ENTRY(socketpair, datagrams),
      ENTRY(inet_pton, texts), ENTRY(inet_ntop, texts), ENTRY(inet_addr, texts), ENTRY(getaddrinfo, literals),
      ENTRY(getnameinfo, numeric), ENTRY(getnameinfo, zone))
