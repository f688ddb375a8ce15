#include <ringlet/file.hpp>
#include <ringlet/mount.hpp>

namespace ringlet {

namespace {
// Constant-initialised, and never destroyed: applications may run until the machine stops.
constinit union Tree {
    fs::Vfs vfs;
    constexpr Tree() : vfs() {}
    ~Tree() {}
} tree;

constinit Mounter mounter_in_use{
    .mount = [](std::string_view, std::string_view, Access) -> Result<> { return fail(Error::unsupported); },
    .unmount = [](std::string_view) -> Result<> { return fail(Error::unsupported); },
};
}  // namespace

fs::Vfs& files() {
    return tree.vfs;
}

void set_mounter(const Mounter& mounter) {
    mounter_in_use = mounter;
}
Result<> mount(std::string_view device, std::string_view where, Access access) {
    return mounter_in_use.mount(device, where, access);
}
Result<> unmount(std::string_view where) {
    return mounter_in_use.unmount(where);
}

}  // namespace ringlet
