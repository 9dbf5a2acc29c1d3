// Made by bindgen; see the README of this crate. Do not edit.

unsafe extern "C" {
    pub fn galois_init_default_field(w: ::core::ffi::c_int) -> ::core::ffi::c_int;
    pub fn galois_uninit_field(w: ::core::ffi::c_int) -> ::core::ffi::c_int;
    pub fn galois_single_multiply(
        a: ::core::ffi::c_int,
        b: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn galois_single_divide(
        a: ::core::ffi::c_int,
        b: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn galois_inverse(x: ::core::ffi::c_int, w: ::core::ffi::c_int) -> ::core::ffi::c_int;
    pub fn galois_region_xor(
        src: *mut ::core::ffi::c_char,
        dest: *mut ::core::ffi::c_char,
        nbytes: ::core::ffi::c_int,
    );
    pub fn galois_w08_region_multiply(
        region: *mut ::core::ffi::c_char,
        multby: ::core::ffi::c_int,
        nbytes: ::core::ffi::c_int,
        r2: *mut ::core::ffi::c_char,
        add: ::core::ffi::c_int,
    );
    pub fn galois_w16_region_multiply(
        region: *mut ::core::ffi::c_char,
        multby: ::core::ffi::c_int,
        nbytes: ::core::ffi::c_int,
        r2: *mut ::core::ffi::c_char,
        add: ::core::ffi::c_int,
    );
    pub fn galois_w32_region_multiply(
        region: *mut ::core::ffi::c_char,
        multby: ::core::ffi::c_int,
        nbytes: ::core::ffi::c_int,
        r2: *mut ::core::ffi::c_char,
        add: ::core::ffi::c_int,
    );
    pub fn jerasure_matrix_to_bitmatrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        matrix: *mut ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn jerasure_dumb_bitmatrix_to_schedule(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        bitmatrix: *mut ::core::ffi::c_int,
    ) -> *mut *mut ::core::ffi::c_int;
    pub fn jerasure_smart_bitmatrix_to_schedule(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        bitmatrix: *mut ::core::ffi::c_int,
    ) -> *mut *mut ::core::ffi::c_int;
    pub fn jerasure_generate_schedule_cache(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        bitmatrix: *mut ::core::ffi::c_int,
        smart: ::core::ffi::c_int,
    ) -> *mut *mut *mut ::core::ffi::c_int;
    pub fn jerasure_free_matrix(matrix: *mut ::core::ffi::c_int);
    pub fn jerasure_free_schedule(schedule: *mut *mut ::core::ffi::c_int);
    pub fn jerasure_free_schedule_cache(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        cache: *mut *mut *mut ::core::ffi::c_int,
    );
    pub fn jerasure_do_parity(
        k: ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        parity_ptr: *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
    );
    pub fn jerasure_matrix_encode(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        matrix: *mut ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
    );
    pub fn jerasure_bitmatrix_encode(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        bitmatrix: *mut ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
        packetsize: ::core::ffi::c_int,
    );
    pub fn jerasure_schedule_encode(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        schedule: *mut *mut ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
        packetsize: ::core::ffi::c_int,
    );
    pub fn jerasure_matrix_decode(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        matrix: *mut ::core::ffi::c_int,
        row_k_ones: ::core::ffi::c_int,
        erasures: *mut ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_bitmatrix_decode(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        bitmatrix: *mut ::core::ffi::c_int,
        row_k_ones: ::core::ffi::c_int,
        erasures: *mut ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
        packetsize: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_schedule_decode_lazy(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        bitmatrix: *mut ::core::ffi::c_int,
        erasures: *mut ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
        packetsize: ::core::ffi::c_int,
        smart: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_schedule_decode_cache(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        scache: *mut *mut *mut ::core::ffi::c_int,
        erasures: *mut ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
        packetsize: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_make_decoding_matrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        matrix: *mut ::core::ffi::c_int,
        erased: *mut ::core::ffi::c_int,
        decoding_matrix: *mut ::core::ffi::c_int,
        dm_ids: *mut ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_make_decoding_bitmatrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        matrix: *mut ::core::ffi::c_int,
        erased: *mut ::core::ffi::c_int,
        decoding_matrix: *mut ::core::ffi::c_int,
        dm_ids: *mut ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_erasures_to_erased(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        erasures: *mut ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn jerasure_matrix_dotprod(
        k: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        matrix_row: *mut ::core::ffi::c_int,
        src_ids: *mut ::core::ffi::c_int,
        dest_id: ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
    );
    pub fn jerasure_bitmatrix_dotprod(
        k: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        bitmatrix_row: *mut ::core::ffi::c_int,
        src_ids: *mut ::core::ffi::c_int,
        dest_id: ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
        packetsize: ::core::ffi::c_int,
    );
    pub fn jerasure_do_scheduled_operations(
        ptrs: *mut *mut ::core::ffi::c_char,
        schedule: *mut *mut ::core::ffi::c_int,
        packetsize: ::core::ffi::c_int,
    );
    pub fn jerasure_invert_matrix(
        mat: *mut ::core::ffi::c_int,
        inv: *mut ::core::ffi::c_int,
        rows: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_invert_bitmatrix(
        mat: *mut ::core::ffi::c_int,
        inv: *mut ::core::ffi::c_int,
        rows: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_invertible_matrix(
        mat: *mut ::core::ffi::c_int,
        rows: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_invertible_bitmatrix(
        mat: *mut ::core::ffi::c_int,
        rows: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn jerasure_print_matrix(
        matrix: *mut ::core::ffi::c_int,
        rows: ::core::ffi::c_int,
        cols: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    );
    pub fn jerasure_print_bitmatrix(
        matrix: *mut ::core::ffi::c_int,
        rows: ::core::ffi::c_int,
        cols: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    );
    pub fn jerasure_matrix_multiply(
        m1: *mut ::core::ffi::c_int,
        m2: *mut ::core::ffi::c_int,
        r1: ::core::ffi::c_int,
        c1: ::core::ffi::c_int,
        r2: ::core::ffi::c_int,
        c2: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn jerasure_get_stats(fill_in: *mut f64);
    pub fn reed_sol_vandermonde_coding_matrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn reed_sol_extended_vandermonde_matrix(
        rows: ::core::ffi::c_int,
        cols: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn reed_sol_big_vandermonde_distribution_matrix(
        rows: ::core::ffi::c_int,
        cols: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn reed_sol_r6_encode(
        k: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        data_ptrs: *mut *mut ::core::ffi::c_char,
        coding_ptrs: *mut *mut ::core::ffi::c_char,
        size: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn reed_sol_r6_coding_matrix(
        k: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn reed_sol_galois_w08_region_multby_2(
        region: *mut ::core::ffi::c_char,
        nbytes: ::core::ffi::c_int,
    );
    pub fn reed_sol_galois_w16_region_multby_2(
        region: *mut ::core::ffi::c_char,
        nbytes: ::core::ffi::c_int,
    );
    pub fn reed_sol_galois_w32_region_multby_2(
        region: *mut ::core::ffi::c_char,
        nbytes: ::core::ffi::c_int,
    );
    pub fn cauchy_original_coding_matrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn cauchy_xy_coding_matrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        x: *mut ::core::ffi::c_int,
        y: *mut ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn cauchy_improve_coding_matrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
        matrix: *mut ::core::ffi::c_int,
    );
    pub fn cauchy_good_general_coding_matrix(
        k: ::core::ffi::c_int,
        m: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn cauchy_n_ones(n: ::core::ffi::c_int, w: ::core::ffi::c_int) -> ::core::ffi::c_int;
    pub fn liberation_coding_bitmatrix(
        k: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
    pub fn liber8tion_coding_bitmatrix(k: ::core::ffi::c_int) -> *mut ::core::ffi::c_int;
    pub fn blaum_roth_coding_bitmatrix(
        k: ::core::ffi::c_int,
        w: ::core::ffi::c_int,
    ) -> *mut ::core::ffi::c_int;
}
