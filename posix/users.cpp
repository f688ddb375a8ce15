// Users and groups: there is one of each, root, and it is whoever asks. Context: thread.
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

namespace {

/// To become somebody else, when there is nobody else.
int become(bool root) {
    if (root) return 0;
    errno = ENOSYS;
    return -1;
}

/// The reentrant functions: the entry's strings are constants, so `buffer` has nothing to hold.
template <class T> int fill(const T* found, T* to, T** out) {
    *out = nullptr;
    if (found == nullptr) return 0;
    *to = *found;
    *out = to;
    return 0;
}

}  // namespace

extern "C" {

uid_t getuid() {
    return 0;
}
uid_t geteuid() {
    return 0;
}
gid_t getgid() {
    return 0;
}
gid_t getegid() {
    return 0;
}
int getgroups(int, gid_t*) {
    return 0;
}
int setuid(uid_t to) {
    return become(to == 0);
}
int seteuid(uid_t to) {
    return become(to == 0);
}
int setgid(gid_t to) {
    return become(to == 0);
}
int setegid(gid_t to) {
    return become(to == 0);
}
/// -1 leaves one as it is.
int setreuid(uid_t real, uid_t effective) {
    return become((real == 0 || real == uid_t(-1)) && (effective == 0 || effective == uid_t(-1)));
}
int setregid(gid_t real, gid_t effective) {
    return become((real == 0 || real == gid_t(-1)) && (effective == 0 || effective == gid_t(-1)));
}
int initgroups(const char* name, gid_t group) {
    return become(getpwnam(name) != nullptr && group == 0);
}

passwd* getpwuid(uid_t id) {
    static char name[] = "root", nothing[] = "", home[] = "/";
    static passwd root{.pw_name = name,
                       .pw_passwd = nothing,
                       .pw_uid = 0,
                       .pw_gid = 0,
                       .pw_comment = nothing,
                       .pw_gecos = nothing,
                       .pw_dir = home,
                       .pw_shell = nothing};
    return id == 0 ? &root : nullptr;
}
passwd* getpwnam(const char* name) {
    return strcmp(name, "root") == 0 ? getpwuid(0) : nullptr;
}
int getpwuid_r(uid_t id, passwd* to, char*, size_t, passwd** out) {
    return fill(getpwuid(id), to, out);
}
int getpwnam_r(const char* name, passwd* to, char*, size_t, passwd** out) {
    return fill(getpwnam(name), to, out);
}
group* getgrgid(gid_t id) {
    static char name[] = "root", nothing[] = "";
    static char* members[] = {nullptr};
    static group root{.gr_name = name, .gr_passwd = nothing, .gr_gid = 0, .gr_mem = members};
    return id == 0 ? &root : nullptr;
}
group* getgrnam(const char* name) {
    return strcmp(name, "root") == 0 ? getgrgid(0) : nullptr;
}
int getgrgid_r(gid_t id, group* to, char*, size_t, group** out) {
    return fill(getgrgid(id), to, out);
}
int getgrnam_r(const char* name, group* to, char*, size_t, group** out) {
    return fill(getgrnam(name), to, out);
}
char* getlogin() {
    return getpwuid(0)->pw_name;
}

}  // extern "C"
