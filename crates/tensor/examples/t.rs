//! tmp
use roentgen_tensor::conv2d::*;
use std::time::Instant;
fn main() {
    let mut tot = [0.0f64; 3];
    for (h, ci, co) in [
        (24, 1, 64),
        (24, 64, 128),
        (12, 128, 128),
        (12, 128, 128),
        (12, 128, 256),
        (6, 256, 512),
        (3, 512, 512),
        (3, 512, 512),
    ] {
        let g = Conv2dGeometry::new(128, h, h, ci, co);
        let x = vec![0.5f32; g.x_len()];
        let w = vec![0.5f32; g.weight_len()];
        let mut y = vec![0.5f32; g.y_len()];
        let b = vec![0.1f32; co];
        let mut gx = x.clone();
        let mut gw = w.clone();
        let mut s = Conv2dScratch::default();
        let mut ts = [vec![], vec![], vec![]];
        for _ in 0..5 {
            let t = Instant::now();
            conv2d_forward(&g, &x, &w, &b, &mut y, &mut s);
            ts[0].push(t.elapsed().as_secs_f64());
            let t = Instant::now();
            conv2d_backward_input(&g, &y, &w, &mut gx, &mut s);
            ts[1].push(t.elapsed().as_secs_f64());
            let t = Instant::now();
            conv2d_backward_weight(&g, &x, &y, &mut gw, &mut s);
            ts[2].push(t.elapsed().as_secs_f64());
        }
        print!("{ci}->{co}@{h}: ");
        for (i, t) in ts.iter_mut().enumerate() {
            t.sort_by(f64::total_cmp);
            let m = t[0];
            tot[i] += m;
            print!("{:.1} ms {:.0} GF  ", m * 1e3, g.flops() / m / 1e9);
        }
        println!();
    }
    println!("{tot:?} {}", 128.0 / (tot[0] + tot[1] + tot[2]));
}
