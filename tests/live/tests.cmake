# Live tests: real processes that hang or crash, real cores, the real program. Included from tests/.
# A group that this machine cannot try (no compiler, no gcore, cores piped away) is skipped.
find_program(COLDCASE_TEST_PYTHON NAMES python3)
if(COLDCASE_TEST_PYTHON)
  foreach(group IN ITEMS founding python_locks healthy native crash)
    add_test(NAME live_${group}
      COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/live_test.py --group ${group}
              --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/${group})
    set_tests_properties(live_${group} PROPERTIES LABELS live TIMEOUT 300 SKIP_RETURN_CODE 77)
  endforeach()
  add_executable(oracle ${CMAKE_CURRENT_LIST_DIR}/oracle/oracle.cpp)
  target_include_directories(oracle PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(oracle PRIVATE coldcase coldcase_dw)
  add_executable(lines_oracle ${CMAKE_CURRENT_LIST_DIR}/oracle/lines.cpp)
  target_include_directories(lines_oracle PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(lines_oracle PRIVATE coldcase coldcase_dw)
  add_test(NAME live_lines
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/lines_test.py --oracle $<TARGET_FILE:lines_oracle>
            --work ${PROJECT_BINARY_DIR}/live/lines)
  set_tests_properties(live_lines PROPERTIES LABELS live TIMEOUT 900 SKIP_RETURN_CODE 77)
  add_test(NAME live_stacks
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/stacks_test.py --program $<TARGET_FILE:coldcase_program>
            --oracle $<TARGET_FILE:oracle> --work ${PROJECT_BINARY_DIR}/live/stacks)
  set_tests_properties(live_stacks PROPERTIES LABELS live TIMEOUT 600 SKIP_RETURN_CODE 77)
  # Every stack against gdb's, and stacks without unwind tables (musl, static, deep, Go, V8, Java).
  foreach(name IN ITEMS gdb_frames frames)
    add_test(NAME live_${name}
      COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py
              --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/${name})
    set_tests_properties(live_${name} PROPERTIES LABELS live TIMEOUT 900 SKIP_RETURN_CODE 77)
  endforeach()
  foreach(name IN ITEMS inputs inspect packed report capture sockets debuginfod triage_fetch places sparse locals moments)
    add_test(NAME live_${name}
      COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py
              --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/${name})
    set_tests_properties(live_${name} PROPERTIES LABELS live TIMEOUT 300 SKIP_RETURN_CODE 77)
  endforeach()
  add_test(NAME live_fileless
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/fileless_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/fileless)
  set_tests_properties(live_fileless PROPERTIES LABELS live TIMEOUT 900 SKIP_RETURN_CODE 77)
  add_test(NAME waits_grade
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/waits_grade_test.py)
  set_tests_properties(waits_grade PROPERTIES LABELS unit TIMEOUT 60)
  add_test(NAME live_waits
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/waits_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/waits)
  set_tests_properties(live_waits PROPERTIES LABELS live TIMEOUT 300 SKIP_RETURN_CODE 77)
  # Other C libraries: tools/fetch-glibc puts them here; without them these are skipped.
  foreach(suite IN ITEMS bullseye trixie sid)
    add_test(NAME live_waits_${suite}
      COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/waits_test.py
              --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/waits
              --glibc ${PROJECT_BINARY_DIR}/glibc/${suite})
    set_tests_properties(live_waits_${suite} PROPERTIES LABELS live TIMEOUT 300 SKIP_RETURN_CODE 77)
  endforeach()
  add_test(NAME live_zmq
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/zmq_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/zmq)
  set_tests_properties(live_zmq PROPERTIES LABELS live TIMEOUT 600 SKIP_RETURN_CODE 77)
  add_test(NAME live_mpi
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/mpi_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/mpi)
  set_tests_properties(live_mpi PROPERTIES LABELS live TIMEOUT 600 SKIP_RETURN_CODE 77)
  add_test(NAME live_holders
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/holders_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/holders)
  set_tests_properties(live_holders PROPERTIES LABELS live TIMEOUT 900 SKIP_RETURN_CODE 77)
  # Healthy processes of the system: those that are installed (tools/corpus-packages).
  add_test(NAME live_corpus
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/corpus_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/corpus)
  # Its servers and their clients' patience are measured in seconds: nothing else beside them.
  set_property(TEST live_triage_fetch PROPERTY RUN_SERIAL ON)
  set_tests_properties(live_corpus PROPERTIES LABELS live TIMEOUT 900 SKIP_RETURN_CODE 77 RUN_SERIAL ON)
  add_test(NAME live_many
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/many_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/many)
  set_tests_properties(live_many PROPERTIES LABELS live TIMEOUT 600 SKIP_RETURN_CODE 77)
  # Native trees with every dump in one test, Python's in another, forked children in a third;
  # --all-pythons for the rest.
  foreach(group IN ITEMS native python forks)
    add_test(NAME live_trees_${group}
      COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/tree_test.py --group ${group}
              --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/trees_${group})
    set_tests_properties(live_trees_${group} PROPERTIES LABELS live TIMEOUT 1500 SKIP_RETURN_CODE 77)
  endforeach()
  add_test(NAME live_triage
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/triage_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/triage)
  set_tests_properties(live_triage PROPERTIES LABELS live TIMEOUT 600 SKIP_RETURN_CODE 77)
  add_test(NAME python_grade
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/python_grade_test.py)
  set_tests_properties(python_grade PROPERTIES LABELS unit TIMEOUT 60)
  # Reports that were read before they were accepted; --update accepts others.
  add_test(NAME live_stories
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/stories_test.py
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/stories)
  set_tests_properties(live_stories PROPERTIES LABELS live TIMEOUT 300 SKIP_RETURN_CODE 77)
  # A chosen half of the matrix, as far as the time goes; all of it: python_matrix.py --all.
  add_test(NAME live_python_matrix
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/python_matrix.py --seconds 120
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/python_matrix)
  add_test(NAME live_python_traced
    COMMAND ${COLDCASE_TEST_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/python_matrix.py --traced --seconds 60
            --program $<TARGET_FILE:coldcase_program> --work ${PROJECT_BINARY_DIR}/live/python_traced)
  set_tests_properties(live_python_matrix live_python_traced PROPERTIES LABELS live TIMEOUT 300
                       SKIP_RETURN_CODE 77)
endif()
