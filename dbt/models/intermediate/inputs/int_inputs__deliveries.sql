{{ deliveries(ref('stg_exam__results'), ref('stg_exam__sessions')) }}
