-- The words that the rows are made of. All of it lives in this session only, and the same number
-- always gives the same words, so every demo holds the same data.
CREATE FUNCTION pg_temp.pick(i bigint, choices text[]) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT choices[1 + i % cardinality(choices)]';

CREATE FUNCTION pg_temp.first_name(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick(i * 7, ARRAY[
        'Ada', 'Amira', 'Anton', 'Beatriz', 'Björn', 'Carmen', 'Chidi', 'Clara', 'Dmitri', 'Elif', 'Emeka',
        'Fatima', 'Grace', 'Hana', 'Henrik', 'Ines', 'Jonas', 'Kenji', 'Lena', 'Lucía', 'Mateo', 'Mei', 'Noor',
        'Olivia', 'Priya', 'Rafael', 'Sofia', 'Tomasz', 'Yusuf'])
$$;

CREATE FUNCTION pg_temp.last_name(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick(i * 11 + i / 29, ARRAY[
        'Adeyemi', 'Almeida', 'Andersson', 'Bauer', 'Becker', 'Castillo', 'Chen', 'Costa', 'Dubois', 'Eriksen',
        'Fischer', 'García', 'Haddad', 'Ito', 'Jansen', 'Kaya', 'Kowalski', 'Lindqvist', 'Mbeki', 'Moreau',
        'Nakamura', 'Novak', 'O''Brien', 'Okafor', 'Patel', 'Petrov', 'Rossi', 'Santos', 'Silva', 'Tanaka',
        'Weber'])
$$;

CREATE FUNCTION pg_temp.email(i bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'reader' || i || '@' || pg_temp.pick(i * 3, ARRAY['example.com', 'mail.example.com', 'example.org'])
$$;

CREATE FUNCTION pg_temp.company(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick(i * 5, ARRAY[
        'Harbour', 'Nordlicht', 'Blue Door', 'Fern & Field', 'Copper', 'Lighthouse', 'Maple', 'Old Mill',
        'Quarry', 'Riverside', 'Saffron', 'Tern', 'Windmill'])
        || ' ' || pg_temp.pick(i * 3 + i / 13, ARRAY[
        'Architects', 'Bakery', 'Books', 'Clinic', 'Coffee', 'Festival', 'Foundation', 'Gallery', 'Press',
        'Theatre', 'Travel'])
$$;
