// Network interfaces, <net/if.h>: net0, net1…, whose index is their number + 1. Context: thread.
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include <ringlet/network.hpp>

using namespace ringlet;

extern "C" {

unsigned if_nametoindex(const char* name) {
    const bool fits = strncmp(name, "net", 3) == 0 && name[3] >= '0' && name[3] <= '9' && name[4] == '\0';
    if (fits && name[3] - '0' < network().interface_count()) return static_cast<unsigned>(name[3] - '0') + 1;
    errno = ENODEV;
    return 0;
}
char* if_indextoname(unsigned index, char* name) {
    if (index == 0 || index > network().interface_count()) {
        errno = ENXIO;
        return nullptr;
    }
    strcpy(name, "net0");
    name[3] = static_cast<char>('0' + index - 1);
    return name;
}
struct if_nameindex* if_nameindex() {
    constexpr usize kMost = net::kMostInterfaces;
    struct List {
        struct if_nameindex entries[kMost + 1];
        char names[kMost][IF_NAMESIZE];
    };
    auto* list = static_cast<List*>(calloc(1, sizeof(List)));
    if (list == nullptr) return nullptr;
    for (unsigned i = 0; i < std::min<unsigned>(network().interface_count(), kMost); ++i)
        list->entries[i] = {i + 1, if_indextoname(i + 1, list->names[i])};
    return list->entries;
}
void if_freenameindex(struct if_nameindex* list) {
    free(list);
}

}  // extern "C"
