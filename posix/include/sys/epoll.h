/* Waiting for many descriptors at once. */
#ifndef _SYS_EPOLL_H_
#define _SYS_EPOLL_H_

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>

#define EPOLLIN 0x0001u
#define EPOLLPRI 0x0002u
#define EPOLLOUT 0x0004u
#define EPOLLERR 0x0008u
#define EPOLLHUP 0x0010u
#define EPOLLRDNORM 0x0040u
#define EPOLLRDBAND 0x0080u
#define EPOLLWRNORM 0x0100u
#define EPOLLWRBAND 0x0200u
#define EPOLLRDHUP 0x2000u
#define EPOLLONESHOT 0x40000000u
#define EPOLLET 0x80000000u

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3

#define EPOLL_CLOEXEC O_CLOEXEC

typedef union epoll_data {
  void *ptr;
  int fd;
  uint32_t u32;
  uint64_t u64;
} epoll_data_t;

struct epoll_event {
  uint32_t events;
  epoll_data_t data;
};

__BEGIN_DECLS
int epoll_create(int size);
int epoll_create1(int flags);
int epoll_ctl(int epfd, int what, int fd, struct epoll_event *event);
int epoll_wait(int epfd, struct epoll_event *events, int most, int milliseconds);
int epoll_pwait(int epfd, struct epoll_event *events, int most, int milliseconds, const sigset_t *mask);
__END_DECLS

#endif
