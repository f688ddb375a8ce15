/* Names of hosts and services: the C library's, and the addresses that POSIX lets it bring along. */
#ifndef _RINGLET_NETDB_H_
#define _RINGLET_NETDB_H_

#include <netinet/in.h>
#include_next <netdb.h>

#endif
