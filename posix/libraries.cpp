// <dlfcn.h>: an image is one static program. Who asks for more is told that it is not to be had.
#include <dlfcn.h>

#include <errno.h>

#include <utility>

namespace {

thread_local const char* error = nullptr;

void* refuse() {
    error = "this image is static: it has no shared libraries";
    errno = ENOSYS;
    return nullptr;
}

}  // namespace

extern "C" {

void* dlopen(const char*, int) {
    return refuse();
}
void* dlsym(void*, const char*) {
    return refuse();
}
int dlclose(void*) {
    refuse();
    return -1;
}
/// The last error of this thread, once.
char* dlerror() {
    return const_cast<char*>(std::exchange(error, nullptr));
}

}  // extern "C"
