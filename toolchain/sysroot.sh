#!/usr/bin/env bash
# The C and C++ libraries of images: newlib and libstdc++ (exceptions, RTTI, threads, iostreams, filesystem), built from
# Debian's source packages by Debian's own compilers, once for each architecture and set of inputs; and the decoder half of
# zlib, which comes with them.
#
#   toolchain/sysroot.sh ARCH...          builds what is missing and prints the folder of each, in order
#   toolchain/sysroot.sh --where ARCH...  prints the folders only; exit status 1 when one is not built
#   toolchain/sysroot.sh --link PATH ARCH   makes PATH a link to it
#
# They are kept in $RINGLET_CACHE, or $XDG_CACHE_HOME/ringlet, or ~/.cache/ringlet, in a folder named by a hash of
# everything that goes in. In a folder: include/ lib/ ringlet.specs (for gcc and g++: -specs=). Takes about two minutes
# for one architecture on two CPUs; the output of the builds is in logs/ beside the folders.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../tools/packages.sh"

cache=${RINGLET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringlet}
only_where=
link=
[ "${1:-}" = --where ] && { only_where=1; shift; }
[ "${1:-}" = --link ] && [ $# -eq 3 ] && { link=$2; shift 2; }
[ $# -gt 0 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }
for arch in "$@"; do
    [ "$arch" = x86_64 ] || [ "$arch" = aarch64 ] || { echo "sysroot.sh: unknown architecture '$arch'" >&2; exit 2; }
done

inputs() {  # everything that a built folder depends on
    local arch=$1
    cat "$here/sysroot.sh" "$here/libgcc_members.sh" "$here"/newlib/*.* "$here"/newlib/sys/* "$here"/libstdc++/*
    dpkg-query -W -f='${Package} ${Version}\n' newlib-source gcc-12-source "g++-12-${arch/_/-}-linux-gnu" 2>/dev/null ||
        dpkg-query -W -f='${Package} ${Version}\n' newlib-source gcc-12-source g++-12
}
folder_of() {
    echo "$cache/sysroot-$1-$(inputs "$1" | sha256sum | cut -c1-16)"
}

settle() {  # ARCH: the facts of an architecture
    triplet=$1-linux-gnu target=$1-elf flags=-mno-red-zone\ -fcf-protection=none\ -mstack-protector-guard=global
    emulation=elf_x86_64
    if [ "$1" = aarch64 ]; then target=aarch64-none-elf flags=-mno-outline-atomics emulation=aarch64linux; fi
    # Not position independent (Debian's default is), no unique symbols (they would make the image a "GNU" one), and
    # frame pointers, so that a stack trace goes through a library to its caller.
    optimise="-O2 -g0 -ffunction-sections -fdata-sections -fno-omit-frame-pointer -fno-stack-protector -fno-gnu-unique $flags"
}

say() { echo "sysroot $1: $2" >&2; }

run() {  # LOG COMMAND...: the end of its log when it fails
    local log=$1; shift
    "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; echo "sysroot: '$1' failed, see $log" >&2; return 1; }
}

unpack() {  # once for all architectures, into $source
    mkdir -p "$source"/{newlib,gcc}
    tar -C "$source/newlib" -xf /usr/src/newlib/newlib-3.3.0.tar.xz --strip-components=1
    tar -C "$source/gcc" -xf /usr/src/gcc-12/gcc-12.2.0-dfsg.tar.xz --strip-components=1 --wildcards \
        --exclude='*/libstdc++-v3/testsuite/*/*' --exclude='*/libstdc++-v3/doc/html' --exclude='*/libstdc++-v3/doc/xml' \
        --exclude='ChangeLog*' gcc-12.2.0/{libstdc++-v3,libgcc,libiberty,include,config,zlib} \
        gcc-12.2.0/gcc/{BASE-VER,DATESTAMP,DEV-PHASE} 'gcc-12.2.0/lib*.m4' gcc-12.2.0/{config.guess,config.sub} \
        gcc-12.2.0/{config-ml.in,install-sh,ltmain.sh,missing,mkinstalldirs,move-if-change,compile,depcomp,symlink-tree,multilib.am}
    # The compilers have Debian's updates of the 12 branch, the source package has them as a patch. Excludes come first.
    # The ceiling: inside another checkout git would match the names against that one, and apply nothing.
    (cd "$source/gcc" && GIT_CEILING_DIRECTORIES=$source git apply -p2 --exclude='libstdc++-v3/doc/*' \
        --exclude='libstdc++-v3/testsuite/*' --exclude='*ChangeLog*' --include='libstdc++-v3/include/*' \
        --include='libstdc++-v3/src/*' --include='libstdc++-v3/libsupc++/*' --include='libstdc++-v3/config/*' \
        /usr/src/gcc-12/patches/git-updates.diff)
    grep -q "Set it before the call" "$source/gcc/libstdc++-v3/libsupc++/eh_globals.cc" ||
        { echo "sysroot: Debian's updates of libstdc++ were not applied" >&2; return 1; }
    patch -sf -p1 -d "$source/gcc" <"$here/libstdc++/libstdc++.patch"
    patch -sf -p1 -d "$source/newlib" <"$here/newlib/newlib.patch"
    # newlib has the BSD headers of sockets, terminals and directories for one of its systems: they are ours too.
    local from=$source/newlib/newlib/libc/sys/rtems/include to=$source/newlib/newlib/libc/include
    mkdir -p "$to"/{arpa,net,netinet,netinet6}
    cp "$from"/{netdb.h,termios.h} "$to/"
    for name in arpa/inet.h net/if.h netinet/in.h netinet/tcp.h netinet6/in6.h; do cp "$from/$name" "$to/$name"; done
    for name in _iovec _sockaddr_storage _termios _uio dirent filio ioccom ioctl mman socket sockio ttycom ttydefaults uio un; do
        cp "$from/sys/$name.h" "$to/sys/"
    done
    cp "$here"/newlib/sys/*.h "$to/sys/"
}

write_specs() {  # ARCH SYSROOT FILE: how gcc and g++ find everything here and nothing of the host
    cat >"$3" <<SPECS
%rename cc1 host_cc1
%rename cc1plus host_cc1plus

*cpp:
-nostdinc -U__linux__ -U__linux -Ulinux -U__gnu_linux__ -U__unix__ -U__unix -Uunix -D__ringlet__=1 %{pthread:-D_REENTRANT} %{!nostdlibinc:-idirafter include%s -idirafter $2/include}

*cc1:
%(host_cc1) %{!fpic:%{!fPIC:%{!fpie:%{!fPIE:-fno-pie}}}} $flags -fno-gnu-unique -fno-stack-protector

*cc1plus:
%(host_cc1plus) -nostdinc++ %{!nostdlibinc:-isystem $2/include/c++/12 -isystem $2/include/c++/12/$target -isystem $2/include/c++/12/backward}

*startfile:


*endfile:


*link:
-m $emulation -static -nostdlib --eh-frame-hdr -z noexecstack -z max-page-size=4096 --build-id=none -L$2/lib

*link_libgcc:


*libgcc:
-lgcc_eh -lgcc

*lib:
-lc

*link_gcc_c_sequence:
--start-group %{!nostdlib:-lc} %G --end-group

*link_ssp:


*cross_compile:
1

*self_spec:
+ %{!pie:-no-pie} -static

SPECS
}

build_newlib() {  # ARCH SYSROOT
    local build=$work/newlib-$1 P=$2/bin/cross
    mkdir -p "$build" && cd "$build"
    run "$logs/$1-newlib-configure.log" "$source/newlib/newlib/configure" --host=$target --target=$target \
        --build=x86_64-linux-gnu --prefix="$work/install-$1" --with-target-subdir= --with-cross-host=x86_64-linux-gnu \
        --disable-multilib --disable-nls --enable-newlib-io-long-long --enable-newlib-io-c99-formats \
        --enable-newlib-io-long-double --enable-newlib-io-pos-args --enable-newlib-mb --enable-newlib-multithread \
        --enable-newlib-retargetable-locking --enable-newlib-global-stdio-streams --enable-newlib-global-atexit \
        CC="$P-gcc" AR="$P-ar" RANLIB="$P-ranlib" AS="$P-as" NM="$P-nm" STRIP="$P-strip" READELF="$P-readelf" \
        OBJDUMP="$P-objdump" CC_FOR_BUILD=gcc CFLAGS="$optimise" CCASFLAGS="$optimise" MAKEINFO=:
    run "$logs/$1-newlib-make.log" make -j"$jobs" MAKEINFO=: CFLAGS="$optimise"
    run "$logs/$1-newlib-install.log" make install MAKEINFO=:
    cp -a "$work/install-$1/$target/include/." "$2/include/"
    cp "$work/install-$1/$target"/lib/lib{c,m}.a "$2/lib/"
    "$P-gcc" $optimise -fno-builtin -ffp-contract=off -c "$here/newlib/math_ld.c" -o math_ld.o
    "$P-ar" rcs "$2/lib/libm.a" math_ld.o
}

# With --with-newlib no test links a program, so configure leaves out what it cannot see. An image has these:
image_has=(HAVE_TLS _GLIBCXX_USE_CLOCK_MONOTONIC _GLIBCXX_USE_CLOCK_REALTIME _GLIBCXX_USE_NANOSLEEP
    _GLIBCXX_USE_SCHED_YIELD HAVE_GETENTROPY HAVE_STRTOLD HAVE_USELOCALE HAVE_SETENV HAVE_QUICK_EXIT HAVE_AT_QUICK_EXIT
    HAVE_ALIGNED_ALLOC HAVE_POSIX_MEMALIGN _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT _GLIBCXX_USE_PTHREAD_MUTEX_CLOCKLOCK
    _GLIBCXX_USE_PTHREAD_RWLOCK_CLOCKLOCK)

build_libstdcxx() {  # ARCH SYSROOT
    local build=$work/libstdcxx-$1 P=$2/bin/cross name
    mkdir -p "$build/libgcc" "$build/libstdc++-v3"
    ln -s "$source/gcc/libgcc/gthr-posix.h" "$build/libgcc/gthr-default.h"
    cd "$build/libstdc++-v3"
    run "$logs/$1-libstdcxx-configure.log" "$source/gcc/libstdc++-v3/configure" --host=$target --target=$target \
        --build=x86_64-linux-gnu --prefix="$work/install-$1" --with-cross-host=x86_64-linux-gnu --with-newlib \
        --with-target-subdir=. --disable-shared --enable-static --disable-multilib --disable-nls --enable-threads=posix \
        --enable-libstdcxx-threads=yes --enable-libstdcxx-filesystem-ts=yes --enable-clocale=newlib \
        --disable-libstdcxx-pch --disable-werror --enable-tls --with-gxx-include-dir="$2/include/c++/12" \
        CC="$P-gcc" CXX="$P-g++" AR="$P-ar" RANLIB="$P-ranlib" AS="$P-as" NM="$P-nm" STRIP="$P-strip" LD="$P-ld" \
        CFLAGS="$optimise" CXXFLAGS="$optimise"
    for name in "${image_has[@]}"; do
        sed -i "s|^/\* #undef $name \*/|#define $name 1|" config.h
        grep -q "^#define $name 1" config.h || { echo "sysroot: libstdc++ knows no $name" >&2; return 1; }
    done
    run "$logs/$1-libstdcxx-make.log" make -j"$jobs"
    run "$logs/$1-libstdcxx-install.log" make install
    cp "$work/install-$1/$target"/lib/lib{stdc++,supc++}.a "$2/lib/"
}

build_inflate() {  # ARCH SYSROOT: zlib's decoder of raw deflate, which unpacks a filesystem that is in the image (fs/packed_disk.hpp)
    local P=$2/bin/cross name
    mkdir -p "$2/include/inflate" && cp "$source/gcc/zlib"/{zlib,zconf}.h "$2/include/inflate/"
    mkdir -p "$work/inflate-$1" && cd "$work/inflate-$1"
    for name in inflate inftrees inffast zutil adler32; do
        "$P-gcc" $optimise -DZ_SOLO -DNO_GZIP -c "$source/gcc/zlib/$name.c"
    done
    "$P-ar" rcs "$2/lib/libinflate.a" ./*.o
}

# What posix/ and arch/ have in place of the libraries' own: taken out, so that the order of archives on a link line decides nothing.
ours_libc=(lib_a-{_isatty,assert,getreent,lock,signal,aligned_alloc,calloc,callocr,cfreer,freer,malign,malignr,mallinfor}.o
    lib_a-{malloc,mallocr,malloptr,mallstatsr,msize,msizer,mtrim,pvallocr,realloc,reallocarray,reallocf,reallocr}.o
    lib_a-{valloc,vallocr,remove,rename,renamer,stack_protector,sysfcntl}.o lib_a-{memcpy,memmove,memset,memcmp,memchr,strlen}{,-stub}.o)
ours_libstdcxx=({new,del}_op{,v,nt,vnt,a,va,ant,vant}.o del_op{s,vs,sa,vsa}.o
    {new_handler,vterminate}.o)

build() {  # ARCH: the whole sysroot, in its place at the end only
    local arch=$1 sysroot tool began=$SECONDS
    settle "$arch"
    sysroot=$(folder_of "$arch")
    local logs=$cache/logs
    mkdir -p "$sysroot.part"/{include,lib,bin} "$logs"
    # The folder's final name stands in headers' search path: it is built under that name, by a link.
    ln -sfn "$sysroot.part" "$sysroot"
    write_specs "$arch" "$sysroot" "$sysroot/ringlet.specs"
    for tool in gcc g++; do
        printf '#!/bin/sh\nexec %s-%s -specs=%s/ringlet.specs "$@"\n' $triplet $tool "$sysroot" >"$sysroot/bin/cross-$tool"
        chmod +x "$sysroot/bin/cross-$tool"
    done
    for tool in as ld ar nm ranlib objcopy objdump strip readelf; do ln -s "$(command -v $triplet-$tool)" "$sysroot/bin/cross-$tool"; done
    # What the compiler calls: copied, so that no folder of the host is on the link path.
    cp "$(dirname "$($triplet-gcc -print-libgcc-file-name)")"/libgcc{,_eh}.a "$sysroot/lib/"
    export PATH=$sysroot/bin:$PATH
    say "$arch" "newlib (1 of 3)"
    (build_newlib "$arch" "$sysroot")
    say "$arch" "libstdc++ (2 of 3)"
    (build_libstdcxx "$arch" "$sysroot")
    (build_inflate "$arch" "$sysroot")
    say "$arch" "libgcc (3 of 3)"
    if [ "$arch" = x86_64 ]; then
        run "$logs/$arch-libgcc.log" "$here/libgcc_members.sh" "$source/gcc" "$sysroot" "$work/libgcc-$arch"
    fi
    "$sysroot/bin/cross-ar" d "$sysroot/lib/libc.a" "${ours_libc[@]}"
    "$sysroot/bin/cross-ar" d "$sysroot/lib/libstdc++.a" "${ours_libstdcxx[@]}"
    "$sysroot/bin/cross-ar" d "$sysroot/lib/libsupc++.a" "${ours_libstdcxx[@]}"
    for tool in pthread rt dl; do "$sysroot/bin/cross-ar" rcs "$sysroot/lib/lib$tool.a"; done  # programs ask for them; all is in posix/
    rm -r "$sysroot/bin" && rm "$sysroot" && mv "$sysroot.part" "$sysroot"
    say "$arch" "built in $((SECONDS - began)) s"
}

main() {
    missing=()
    for arch in "$@"; do
        dpkg-query -W newlib-source gcc-12-source >/dev/null 2>&1 && [ -d "$(folder_of "$arch")" ] && [ ! -L "$(folder_of "$arch")" ] || missing+=("$arch")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        [ -z "$only_where" ] || exit 1
        packages=("${SYSROOT_PACKAGES[@]}")
        for arch in "${missing[@]}"; do eval "packages+=(\"\${BUILD_PACKAGES_$arch[@]}\")"; done
        need_packages "${packages[@]}" >&2
        unset C_INCLUDE_PATH CPLUS_INCLUDE_PATH CPATH LIBRARY_PATH GCC_SPECS
        export SOURCE_DATE_EPOCH=1700000000
        mkdir -p "$cache"
        exec 9>"$cache/lock"
        flock 9
        work=$(mktemp -d "$cache/build.XXXXXX")
        trap 'rm -rf "$work" "$cache"/sysroot-*.part; find "$cache" -maxdepth 1 -type l -delete' EXIT
        source=$work/source
        todo=()
        for arch in "${missing[@]}"; do [ -d "$(folder_of "$arch")" ] || todo+=("$arch"); done  # another one may have been quicker
        if [ ${#todo[@]} -gt 0 ]; then
            echo "sysroot: building the C and C++ libraries for ${todo[*]}; this takes some minutes, once" >&2
            unpack
            jobs=$(( ($(nproc) + ${#todo[@]} - 1) / ${#todo[@]} ))
            builds=()
            for arch in "${todo[@]}"; do build "$arch" & builds+=($!); done
            for id in "${builds[@]}"; do wait "$id"; done
        fi
    fi
    for arch in "$@"; do
        folder_of "$arch"
        if [ -n "$link" ]; then ln -sfn "$(folder_of "$arch")" "$link"; fi
    done
}
main "$@"
