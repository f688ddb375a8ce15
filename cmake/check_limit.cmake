# -DFILE= -DLIMIT=: fails when the file is larger (LIMIT of ringlet_add_appliance).
file(SIZE "${FILE}" size)
if(size GREATER LIMIT)
  message(FATAL_ERROR "The image has ${size} bytes stripped, ${LIMIT} are allowed. NAME-report shows where they are.")
endif()
