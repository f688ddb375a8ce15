#include <ringlet/file.hpp>

namespace ringlet {

namespace {
// Constant-initialised, and never destroyed: applications may run until the machine stops.
constinit union Tree {
    fs::Vfs vfs;
    constexpr Tree() : vfs() {}
    ~Tree() {}
} tree;
}  // namespace

fs::Vfs& files() {
    return tree.vfs;
}

}  // namespace ringlet
