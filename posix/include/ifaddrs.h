/* The addresses of the network interfaces (not of POSIX, but everywhere). */
#ifndef _IFADDRS_H_
#define _IFADDRS_H_

#include <net/if.h>
#include <sys/socket.h>

struct ifaddrs {
  struct ifaddrs *ifa_next;
  char *ifa_name;
  unsigned int ifa_flags; /* IFF_... of <net/if.h> */
  struct sockaddr *ifa_addr;
  struct sockaddr *ifa_netmask;
  union {
    struct sockaddr *ifu_broadaddr;
    struct sockaddr *ifu_dstaddr;
  } ifa_ifu;
#define ifa_broadaddr ifa_ifu.ifu_broadaddr
#define ifa_dstaddr ifa_ifu.ifu_dstaddr
  void *ifa_data;
};

__BEGIN_DECLS
int getifaddrs(struct ifaddrs **list);
void freeifaddrs(struct ifaddrs *list);
__END_DECLS

#endif
