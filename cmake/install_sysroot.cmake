# Run by cmake --install: copies the C and C++ libraries into the prefix and writes their specs anew.
set(place "${CMAKE_INSTALL_PREFIX}/lib/ringlet/${arch}")
file(REAL_PATH "${from}" from)
message(STATUS "Installing: ${place}/sysroot")
file(REMOVE_RECURSE "$ENV{DESTDIR}${place}/sysroot")
file(COPY "${from}/include" "${from}/lib" DESTINATION "$ENV{DESTDIR}${place}/sysroot")
file(COPY "${posix_include}/" DESTINATION "$ENV{DESTDIR}${place}/sysroot/include/posix")
file(READ "${from}/ringlet.specs" specs)

# A backslash makes the next character an ordinary one.
string(REPLACE " " "\\ " there "${place}")
string(REPLACE " " "\\ " share "${CMAKE_INSTALL_PREFIX}/share/ringlet")
string(REPLACE "${from}" "${there}/sysroot" specs "${specs}")
string(REPLACE "%{!nostdlibinc:-idirafter" "%{!nostdlibinc:-isystem ${there}/sysroot/include/posix -idirafter" specs "${specs}")
string(REPLACE "*link:\n" "*link:\n%{!nostdlib:-T ${share}/linker/${arch}.ld --gc-sections} -L${there} " specs "${specs}")
string(REPLACE "%{!nostdlib:-lc} %G" "%{!nostdlib:${rooms} -lstdc++ -lm -lc} %G" specs "${specs}")
file(WRITE "$ENV{DESTDIR}${place}/sysroot/ringlet.specs" "${specs}")
