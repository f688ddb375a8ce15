/* Addresses of the Internet as text. */
#ifndef _ARPA_INET_H_
#define _ARPA_INET_H_

#include <netinet/in.h>

__BEGIN_DECLS
in_addr_t inet_addr(const char *text);
int inet_aton(const char *text, struct in_addr *to);
char *inet_ntoa(struct in_addr address);
const char *inet_ntop(int family, const void *address, char *to, socklen_t size);
int inet_pton(int family, const char *text, void *to);
__END_DECLS

#endif
