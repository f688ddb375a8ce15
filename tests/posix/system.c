/* Cases about users, the log, and the interfaces of the network. */
#include "cases.h"

#include <arpa/inet.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pwd.h>
#include <syslog.h>

CASE(getpwnam, entries) {
  struct passwd *root = getpwnam("root");
  say("root=%s %d %d", root->pw_name, (int)root->pw_uid, (int)root->pw_gid);
  say("nobody has it=%s", getpwnam("no-such-user") == NULL ? "null" : "found");
  say("by number=%s", getpwuid(0)->pw_name);
}

CASE(getpwnam_r, entries) {
  struct passwd entry, *found = NULL;
  char buffer[4096];
  code("root", getpwnam_r("root", &entry, buffer, sizeof buffer, &found));
  say("%s", found == &entry ? entry.pw_name : "nothing");
  code("none", getpwnam_r("no-such-user", &entry, buffer, sizeof buffer, &found));
  say("%s", found == NULL ? "null" : "found");
  code("number", getpwuid_r(0, &entry, buffer, sizeof buffer, &found));
  say("%s", found == &entry ? entry.pw_name : "nothing");
}

CASE(getgrnam, entries) {
  struct group *root = getgrnam("root");
  say("root=%s %d members=%d", root->gr_name, (int)root->gr_gid, root->gr_mem[0] != NULL);
  say("nobody has it=%s", getgrnam("no-such-group") == NULL ? "null" : "found");
  say("by number=%s", getgrgid(0)->gr_name);
}

CASE(getgrnam_r, entries) {
  struct group entry, *found = NULL;
  char buffer[4096];
  code("root", getgrnam_r("root", &entry, buffer, sizeof buffer, &found));
  say("%s", found == &entry ? entry.gr_name : "nothing");
  code("none", getgrgid_r(54321, &entry, buffer, sizeof buffer, &found));
  say("%s", found == NULL ? "null" : "found");
}

/* Linux has at least lo, Ringlet an address by DHCP, in some seconds. */
static struct ifaddrs *addresses(int family) {
  struct ifaddrs *list = NULL;
  for (int i = 0; i < 150; ++i) {
    if (getifaddrs(&list) != 0) return NULL;
    for (struct ifaddrs *a = list; a != NULL; a = a->ifa_next)
      if (a->ifa_addr != NULL && a->ifa_addr->sa_family == family) return list;
    freeifaddrs(list);
    pause_ms(100);
  }
  return NULL;
}

CASE(getifaddrs, entries) {
  struct ifaddrs *list = addresses(AF_INET);
  int wrong = 0, count = 0;
  for (struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
    const struct sockaddr_in *address = (void *)a->ifa_addr, *mask = (void *)a->ifa_netmask;
    if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET) continue;
    ++count;
    if (if_nametoindex(a->ifa_name) == 0 || (a->ifa_flags & IFF_UP) == 0 || address->sin_addr.s_addr == 0) ++wrong;
    if (mask == NULL || mask->sin_family != AF_INET) {
      ++wrong;
    } else { /* ones, then zeros */
      uint32_t holes = ~ntohl(mask->sin_addr.s_addr);
      if (mask->sin_addr.s_addr == 0 || (holes & (holes + 1)) != 0) ++wrong;
    }
    struct sockaddr_in name = *address; /* it is an address of this machine */
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    name.sin_port = 0;
    if (bind(fd, (struct sockaddr *)&name, sizeof name) != 0) ++wrong;
    close(fd);
  }
  say("some=%s wrong=%d", count > 0 ? "yes" : "no", wrong);
  freeifaddrs(list);
}

/* LOG_PERROR writes to standard error what goes to the log. */
static void logged(int mask, int options, const char *name, void (*write_log)(void)) {
  char text[600] = "";
  int before = dup(2), file = open("log", O_RDWR | O_CREAT | O_TRUNC, 0600);
  dup2(file, 2);
  openlog(name, options | LOG_PERROR, LOG_USER);
  int old = setlogmask(mask);
  write_log();
  setlogmask(old);
  closelog();
  dup2(before, 2);
  ssize_t n = pread(file, text, sizeof text - 1, 0);
  for (ssize_t i = 0; i < n; ++i)
    if (text[i] == '\n') text[i] = '|';
  say("<%s>", text);
  close(before);
  close(file);
}

static void plain(void) {
  syslog(LOG_INFO, "%d %s\n", 7, "words");
  syslog(LOG_ERR | LOG_DAEMON, "second");
}
static void with_errno(void) {
  errno = ENOENT;
  syslog(LOG_WARNING, "100%%: %m, %s", "%m");
}

CASE(syslog, standard_error) {
  logged(LOG_UPTO(LOG_DEBUG), 0, "cases", plain);
  logged(LOG_UPTO(LOG_WARNING), 0, "cases", plain);
  logged(LOG_UPTO(LOG_DEBUG), 0, "cases", with_errno);
}

CASE(setlogmask, outcomes) {
  int old = setlogmask(LOG_MASK(LOG_ERR)), now = setlogmask(0), again = setlogmask(old);
  say("old=%x now=%x again=%x", old, now, again);
}

CASES(system, ENTRY(getpwnam, entries), ENTRY(getpwnam_r, entries), ENTRY(getgrnam, entries), ENTRY(getgrnam_r, entries),
      ENTRY(getifaddrs, entries), ENTRY(syslog, standard_error), ENTRY(setlogmask, outcomes))
