/* Three echo servers at once, in plain POSIX C: poll() at port 7001, edge-triggered epoll at 7002, a thread for each
 * connection at 7003. At 7004 a datagram is echoed; a line at 7005 is a command: "threads" says how many have been
 * made, "stop" ends the run. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 256

static atomic_int served[3];

static void die(const char *what) {
  printf("sockets: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int listen_at(int port, int flags) {
  int fd = socket(AF_INET6, SOCK_STREAM | flags, 0);
  struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0 || listen(fd, 64) != 0) die("listen");
  return fd;
}

static void write_all(int fd, const char *from, size_t bytes) {
  while (bytes > 0) {
    ssize_t n = send(fd, from, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      struct pollfd p = {.fd = fd, .events = POLLOUT};
      poll(&p, 1, -1);
      continue;
    }
    if (n < 0) return;
    from += n;
    bytes -= n;
  }
}

static void *poll_server(void *unused) {
  struct pollfd fds[MOST] = {{.fd = listen_at(7001, SOCK_NONBLOCK), .events = POLLIN}};
  int count = 1;
  (void)unused;
  for (;;) {
    if (poll(fds, count, -1) < 0) die("poll");
    for (int i = count - 1; i > 0; --i) {
      char buffer[4096];
      if (fds[i].revents == 0) continue;
      ssize_t n = recv(fds[i].fd, buffer, sizeof buffer, 0);
      if (n > 0) {
        write_all(fds[i].fd, buffer, n);
        continue;
      }
      if (n < 0 && errno == EAGAIN) continue;
      close(fds[i].fd);
      fds[i] = fds[--count];
    }
    if (fds[0].revents != 0 && count < MOST) {
      int fd = accept4(fds[0].fd, NULL, NULL, SOCK_NONBLOCK);
      if (fd >= 0) {
        fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        ++served[0];
      }
    }
  }
}

static void *epoll_server(void *unused) {
  int listener = listen_at(7002, SOCK_NONBLOCK);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  (void)unused;
  if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event) != 0) die("epoll");
  for (;;) {
    struct epoll_event ready[16];
    int n = epoll_wait(ep, ready, 16, -1);
    if (n < 0) die("epoll_wait");
    for (int i = 0; i < n; ++i) {
      char buffer[4096];
      int fd = ready[i].data.fd;
      ssize_t got;
      if (fd == listener) {
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        if (fd >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
        if (fd >= 0) ++served[1];
        continue;
      }
      while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) write_all(fd, buffer, got);
      if (got == 0 || errno != EAGAIN) close(fd);  /* which takes it out of the epoll */
    }
  }
}

static void *echo(void *argument) {
  int fd = (int)(long)argument;
  char buffer[4096];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) write_all(fd, buffer, n);
  close(fd);
  return NULL;
}

static void *thread_server(void *unused) {
  int listener = listen_at(7003, 0);
  (void)unused;
  for (;;) {
    pthread_t thread;
    struct sockaddr_in6 peer;
    socklen_t size = sizeof peer;
    int on = 1;
    int fd = accept(listener, (struct sockaddr *)&peer, &size);
    if (fd < 0) die("accept");
    if (size != sizeof peer || peer.sin6_family != AF_INET6) die("peer");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (pthread_create(&thread, NULL, echo, (void *)(long)fd) != 0) {
      close(fd);
      continue;
    }
    pthread_detach(thread);
    ++served[2];
  }
}

static void *datagram_server(void *unused) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(7004)};
  (void)unused;
  if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0) die("bind");
  for (;;) {
    char buffer[1500];
    socklen_t size = sizeof name;
    ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&name, &size);
    if (n < 0) die("recvfrom");
    sendto(fd, buffer, n, 0, (struct sockaddr *)&name, size);
  }
}

int main(void) {
  void *(*servers[])(void *) = {poll_server, epoll_server, thread_server, datagram_server};
  int listener = listen_at(7005, 0);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < 4; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, servers[i], NULL) != 0) die("pthread_create");
    pthread_detach(thread);
  }
  printf("sockets: serving\n");
  for (;;) {
    char line[64];
    int fd = accept(listener, NULL, NULL);
    FILE *in = fdopen(fd, "r+");
    if (in == NULL) die("fdopen");
    while (fgets(line, sizeof line, in) != NULL) {
      if (strcmp(line, "stop\n") == 0) return 0;
      dprintf(fd, "%d %d %d\n", served[0], served[1], served[2]);
    }
    fclose(in);
  }
}
