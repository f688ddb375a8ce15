# Images that boot elsewhere. Part of the installed package; included by appliance.cmake.

# NAME-iso: NAME.iso, made when asked for.
function(ringlet_iso name rootfs words)
  set(iso "${CMAKE_CURRENT_BINARY_DIR}/${name}.iso")
  set(depends ${name} "${RINGLET_ROOT}/tools/iso.sh")
  if(RINGLET_ARCH STREQUAL aarch64)
    set(image "${CMAKE_CURRENT_BINARY_DIR}/${name}.bin")
  else()
    set(image "${CMAKE_CURRENT_BINARY_DIR}/${name}.stripped")
  endif()
  set(disk none)
  if(rootfs)
    set(disk "${CMAKE_CURRENT_BINARY_DIR}/${name}.disk")
    list(APPEND depends "${disk}")
  endif()
  add_custom_command(OUTPUT "${iso}" VERBATIM DEPENDS ${depends}
    COMMAND "${RINGLET_ROOT}/tools/iso.sh" ${RINGLET_ARCH} "${image}" "${disk}" "${iso}" ${words})
  add_custom_target(${name}-iso DEPENDS "${iso}")
endfunction()

# NAME-libvirt: NAME.xml, a libvirt domain that boots the image directly, with its disks where they are.
function(ringlet_libvirt name memory command_line)
  set(kernel "${CMAKE_CURRENT_BINARY_DIR}/${name}")
  if(RINGLET_ARCH STREQUAL aarch64)
    string(APPEND kernel ".bin")
    set(machine virt)
    set(features "")
  else()
    set(machine q35)
    set(features "<acpi/>")
  endif()
  set(domain qemu)
  set(cpu maximum)
  if(CMAKE_HOST_SYSTEM_PROCESSOR STREQUAL RINGLET_ARCH)
    set(domain kvm)
    set(cpu host-passthrough)
  endif()
  string(REGEX MATCH "^[0-9]+" amount "${memory}")
  string(REGEX MATCH "[KMG]$" unit "${memory}")
  if(NOT unit)
    set(unit M)
  endif()
  get_target_property(paths ${name} RINGLET_DISKS)
  set(disks "")
  set(letters a b c d e f g h i j k l m n o p q r s t u v w x y z)
  foreach(path letter IN ZIP_LISTS paths letters)
    if(NOT path)
      break()
    endif()
    ringlet_xml(path)
    string(APPEND disks "    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='${path}'/>
      <target dev='vd${letter}' bus='virtio'/>
    </disk>\n")
  endforeach()
  ringlet_xml(kernel)
  ringlet_xml(command_line)
  file(CONFIGURE OUTPUT "${name}.xml" @ONLY CONTENT "<domain type='@domain@'>
  <name>@name@</name>
  <memory unit='@unit@iB'>@amount@</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='@RINGLET_ARCH@' machine='@machine@'>hvm</type>
    <kernel>@kernel@</kernel>
    <cmdline>@command_line@</cmdline>
  </os>
  <features>@features@</features>
  <cpu mode='@cpu@'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
@disks@    <interface type='network'>
      <source network='default'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'/>
    <console type='pty'>
      <target type='serial'/>
    </console>
  </devices>
</domain>
")
  add_custom_target(${name}-libvirt VERBATIM DEPENDS ${name}
    COMMAND ${CMAKE_COMMAND} -E echo "virsh create --console \"${CMAKE_CURRENT_BINARY_DIR}/${name}.xml\"")
endfunction()

# Escapes the text in `variable` for XML.
function(ringlet_xml variable)
  set(text "${${variable}}")
  string(REPLACE "&" "&amp;" text "${text}")
  string(REPLACE "<" "&lt;" text "${text}")
  string(REPLACE ">" "&gt;" text "${text}")
  string(REPLACE "'" "&apos;" text "${text}")
  set(${variable} "${text}" PARENT_SCOPE)
endfunction()

# The words of ARGS as one kernel command line: a word with blanks is put in double quotes.
function(ringlet_command_line name words variable)
  set(line "")
  foreach(word IN LISTS words)
    if(word MATCHES "[\"'\\\\\n]")
      message(FATAL_ERROR "ringlet_add_appliance(${name}): ARGS ${word}: a word may hold blanks, but no quotes and no \\")
    endif()
    if(word MATCHES " ")
      set(word "\"${word}\"")
    endif()
    list(APPEND line "${word}")
  endforeach()
  list(JOIN line " " line)
  set(${variable} "${line}" PARENT_SCOPE)
endfunction()
